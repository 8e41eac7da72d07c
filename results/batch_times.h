// What the parts of one run took that were timed each on its own.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "results/store.h"

namespace dlm {

struct BatchTime {
  double tokens = 0;  // accepted where text was generated, else scored
  double ns = 0;
  std::int64_t rows = 0;
};

// The batches of `run_id`, each with what its rows share: a batch is timed as a whole and its time
// shared out by passes or ids, so rows whose shares agree to the nanosecond are of one batch (up to
// the run's batch size) and count once. A document whose windows went through several batches is
// one of its own. In no order; empty where the run has no rows.
std::vector<BatchTime> batch_times(Store& store, const std::string& run_id);

}  // namespace dlm
