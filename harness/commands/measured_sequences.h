// What `schedule`, `cost` and `gradient` measure on, the sequences of a likelihood run with a
// diffusion model, and how such a command begins and ends.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

#include "harness/base/json.h"
#include "harness/cli.h"
#include "harness/commands/command.h"
#include "harness/model_loading.h"
#include "harness/prepared_run.h"
#include "harness/scorers/scored_run.h"
#include "harness/scoring_workload.h"

namespace dlm {

// Settings of a likelihood that are no part of what `schedule` and `gradient` do: they draw masks
// of their own.
const std::vector<std::string>& estimator_settings();

struct Measurement {
  PreparedRun run;
  const ScoringWorkload* scoring = nullptr;  // the run's workload; it has an estimator
};

// Which models a command measures.
enum class MeasuredModels {
  kDenoisers,   // exact worlds too
  kCheckpoints  // of diffusion models
};

// A likelihood run with an estimator: an exact world is taken as a denoiser. Throws ConfigError
// for another model, and as prepare_run.
Measurement prepare_measurement(RunSpec spec, ModelCache& models,
                                MeasuredModels which = MeasuredModels::kDenoisers);

struct MeasuredSequences {
  std::vector<std::vector<std::int64_t>> ids;  // of all windows, of one length
  std::vector<std::uint64_t> examples;
};

// Throws ConfigError where lengths differ.
MeasuredSequences measured_sequences(const ScorePlan& plan);

// A measuring command from its settings to its row in the store.
class MeasuringCommand {
 public:
  // Loads the model. Throws as prepare_measurement.
  explicit MeasuringCommand(const ParsedOptions& options,
                            MeasuredModels which = MeasuredModels::kDenoisers);

  MeasuringCommand(const MeasuringCommand&) = delete;
  MeasuringCommand& operator=(const MeasuringCommand&) = delete;

  const Measurement& measurement() const { return measurement_; }

  const RunSpec& spec() const { return measurement_.run.spec; }

  const EstimatorOptions& estimator() const { return *measurement_.scoring->estimator(); }

  MeasuredSequences sequences() const { return measured_sequences(measurement_.scoring->plan()); }

  // The time that is recorded begins here.
  void start() { start_ = std::chrono::steady_clock::now(); }

  // Records what was found under the command's `name`, with the settings that are no part of the
  // spec, and prints it; returns the exit code.
  int finish(FinishedRun finished, const std::string& name, const Json& settings,
             const Arguments& args) const;

 private:
  const ParsedOptions& options_;
  ModelCache models_;
  Measurement measurement_;
  std::chrono::steady_clock::time_point start_;
};

}  // namespace dlm
