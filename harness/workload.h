// What a run measures on its model: likelihoods of given text (scoring_workload.h), or text of its
// own (sampling_workload.h). The runner knows nothing of either; it opens the run, times it and
// stores how it ended.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "harness/base/json.h"
#include "harness/base/record.h"
#include "harness/base/spec.h"
#include "results/store.h"

namespace dlm {

// What the store keeps of a task.
struct TaskIdentity {
  std::string name;
  std::string kind;  // "text", "draws", "samples" or "answers"
  std::int64_t version = 1;
  std::string data_sha256;
  std::string config_json = "{}";
  std::int64_t n_docs = 0;
};

// Estimates and what they are estimates of.
struct Measures {
  std::vector<Estimate> estimates;
  std::vector<MetricDefinition> definitions;

  void add(std::vector<Estimate> more, std::vector<MetricDefinition> what) {
    for (Estimate& one : more) estimates.push_back(std::move(one));
    for (MetricDefinition& one : what) definitions.push_back(std::move(one));
  }
};

// A metric that a run was asked for, and an estimate that is stored wherever it was computed.
struct AskedMetric {
  std::string name;
  std::string estimate;
};

class Workload {
 public:
  virtual ~Workload() = default;

  virtual const TaskIdentity& task() const = 0;

  // The settings that it reads. Others at values of their own are an error.
  virtual SpecPart settings() const = 0;

  // Members of the run's identity beside settings, model, task and numerics: an object.
  virtual Json identity() const = 0;

  // What a dry run shows: "examples N  tokens N  NFE N" and more.
  virtual std::string plan_text() const = 0;

  // Measures every example that the store has no row of, a batch a transaction, in passes that do
  // not depend on what is stored: a run that was killed ends with the same rows to the bit. Throws
  // what the model and the store throw.
  virtual void measure(Store& store, const std::string& run_id) = 0;

  // Empty where the task computes all it has whatever is asked.
  virtual std::vector<AskedMetric> metrics() const = 0;

  // Those of `metrics` with these names, from all rows of the run; everything where the task does
  // not choose. Called when every row is there.
  virtual Measures estimate(Store& store, const std::string& run_id,
                            std::span<const std::string> names) = 0;
};

}  // namespace dlm
