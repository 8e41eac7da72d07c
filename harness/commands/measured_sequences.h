// What `schedule` and `cost` measure on: the sequences of a likelihood run with a diffusion model.
#pragma once

#include <cstdint>
#include <vector>

#include "harness/model_loading.h"
#include "harness/prepared_run.h"
#include "harness/scoring_workload.h"

namespace dlm {

struct Measurement {
  PreparedRun run;
  const ScoringWorkload* scoring = nullptr;  // the run's workload; it has an estimator
};

// A likelihood run with an estimator: an exact world is taken as a denoiser. Throws ConfigError
// where the model is autoregressive, and as prepare_run.
Measurement prepare_measurement(RunSpec spec, ModelCache& models);

struct MeasuredSequences {
  std::vector<std::vector<std::int64_t>> ids;  // of all windows, of one length
  std::vector<std::uint64_t> examples;
};

// Throws ConfigError where lengths differ.
MeasuredSequences measured_sequences(const ScorePlan& plan);

}  // namespace dlm
