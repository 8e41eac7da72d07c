// The metric nelbo_variance of a run that scores text: "Var. NELBO" as the block diffusion paper's
// tables have it, of the loss on the whole interval of noise levels.
#pragma once

#include <cstdint>

#include "harness/score_plan.h"
#include "harness/workload.h"
#include "models/denoiser.h"
#include "models/diffusion/estimator.h"

namespace dlm {

constexpr const char* kNelboVariance = "nelbo_variance";

// Its row of metric_def.
MetricDefinition nelbo_variance_definition();

// Over the plan's first 100 full batches of `batch_size` windows, one noise level and one mask a
// block, as `dlmbench schedule` measures it on (0.001, 1); 95 % interval by t over batches. Throws
// ConfigError where windows differ in length or are no multiple of L', for fewer windows than a
// batch, and for a model that is not trained by cross-entropy.
Measures nelbo_variance_measures(const Denoiser& denoiser, const ScorePlan& plan,
                                 const EstimatorOptions& estimator, std::int64_t batch_size);

}  // namespace dlm
