// A setting at a value of its own that a run does not read is an error: it would make a second run
// of the same numbers under another name. In a sweep it may be meant for the other runs.
#pragma once

#include <set>
#include <string>
#include <utility>
#include <vector>

#include "harness/base/read_when.h"
#include "harness/base/spec.h"
#include "models/factory.h"

namespace dlm {

// The settings of a run of this task; without a task, of text alone.
SpecPart settings_of_task(const std::string& task);

// What a command reads that does not read `keys` of `part`; others are refused as they are parsed.
FieldTable<RunSpec> settings_without(SpecPart part, const std::vector<std::string>& keys);

// The run's estimator or sampler by name, "auto" as its model decides. Throws ConfigError for one
// that the model does not have.
RunMethod run_method(const RunSpec& spec, const LoadedModel& model, SpecPart part);

// Throws ConfigError ("must be left out: ...") for the first setting at a value of its own that a
// run of `part` by `method` does not read.
void check_settings(const RunSpec& spec, const RunMethod& method, SpecPart part);
void check_settings(const RunSpec& spec, const LoadedModel& model, SpecPart part);

// The runs that one command line or suite multiplies into.
class Sweep {
 public:
  explicit Sweep(std::vector<RunSpec> runs) : runs_(std::move(runs)) {}

  // One of the runs, with what it does not read at its default where another run may read it (a
  // line in the log says so). Throws ConfigError as check_settings for what none reads. A run of
  // another model, task, estimator or sampler counts as one that may read a setting unless its
  // names say that it does not.
  RunSpec read_part(const RunSpec& run, const RunMethod& method, SpecPart part);
  RunSpec read_part(const RunSpec& run, const LoadedModel& model, SpecPart part);

  // A warning for every setting that was left out of some runs and read by none.
  void warn_of_unread() const;

 private:
  bool others_may_read(const std::string& key, const RunSpec& run, const RunMethod& method) const;

  std::vector<RunSpec> runs_;
  std::set<std::string> read_, left_out_;  // keys
};

}  // namespace dlm
