// What a checkpoint of a training is worth on rows it was not trained on.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "harness/base/record.h"
#include "models/diffusion/clipped_schedule.h"
#include "models/training/recipe.h"

namespace dlm {

struct Validation {
  double nats_per_token = 0;  // exact for ar and at L' = 1, else a bound
  std::optional<ScheduleSearch> search;
};

// Loads the folder as any other command would, and scores the rows, their first token given: exact
// likelihood, stratified NELBO of 2 draws, or for sedd the published estimator. With noise.search
// also the NELBO variance on every candidate interval, in batches of batch_size rows. The masks are
// the same at every validation.
// Throws ConfigError, DataError.
Validation validate_checkpoint(const std::string& folder, const TrainRecipe& recipe,
                               std::span<const std::vector<std::int64_t>> rows);

// validation_nll or validation_nelbo.
MetricDefinition validation_metric(const TrainRecipe& recipe);

}  // namespace dlm
