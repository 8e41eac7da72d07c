// The scoring part of a run: from what the store lacks to rows in the store.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "harness/base/spec.h"
#include "harness/score_plan.h"
#include "harness/window_scorer.h"
#include "models/diffusion/estimator.h"
#include "models/factory.h"
#include "results/store.h"

namespace dlm {

// How a model scores windows: by the estimator, with its number of draws decided; without one token
// after token. The model must outlive it.
std::unique_ptr<WindowScorer> make_scorer(const LoadedModel& model,
                                          const std::optional<EstimatorOptions>& estimator);

struct ScoringWork {
  const RunSpec& spec;
  const LoadedModel& model;
  const ScorePlan& plan;
  const std::optional<EstimatorOptions>& estimator;
};

// Scores every unit without a stored row, or, where the run has a target interval, units in their
// order until it is met; rows after that one are not kept, so where a run stops does not depend on
// its batches. The target is that of the stored interval: chunks of one document are one cluster,
// which is looked at when it is whole. Throws what the model and the store throw.
void score_missing(const ScoringWork& work, Store& store, const std::string& run_id);

}  // namespace dlm
