// What a likelihood run needs before its first pass.
#pragma once

#include <cstdint>
#include <optional>

#include "harness/base/spec.h"
#include "harness/model_loading.h"
#include "harness/score_plan.h"
#include "models/diffusion/estimator.h"
#include "results/store.h"

namespace dlm {

// A run that can start: model loaded, documents read and cut into windows, identity known.
struct PreparedRun {
  RunSpec spec;
  const LoadedModel* model = nullptr;  // owned by the ModelCache it came from
  ScorePlan plan;
  std::optional<EstimatorOptions> estimator;  // absent: scored token after token
  RunHeader header;
  std::int64_t load_ns = 0;
};

}  // namespace dlm
