// The scoring part of a run: from what the store lacks to rows in the store.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "harness/prepared_run.h"
#include "harness/window_scorer.h"
#include "models/diffusion/estimator.h"
#include "results/store.h"

namespace dlm {

// How the run's model scores windows; `estimator` as in score_missing. The model must outlive it.
std::unique_ptr<WindowScorer> make_scorer(const PreparedRun& run,
                                          const std::optional<EstimatorOptions>& estimator);

// Scores every unit without a stored row, or, where the run has a target interval, units in their
// order until it is met; rows after that one are not kept, so where a run stops does not depend on
// its batches. `estimator`: the run's own with the number of draws decided; absent for a model that
// is scored token after token. Throws what the model and the store throw.
void score_missing(const PreparedRun& run, const std::optional<EstimatorOptions>& estimator,
                   Store& store, const std::string& run_id);

}  // namespace dlm
