// Several runs of each model in one line a model, as a paper's table has them: what scoring gave,
// what generating gave and what it cost.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "results/store.h"
#include "results/table.h"

namespace dlm {

struct ModelTableSpec {
  std::string title;
  // "metric" or "metric/variant": the value, with its 95 % interval for people; or of the runs that
  // generated text "tokens_per_second" (accepted ones) and "nfe_per_token", of those that scored it
  // "scored_tokens_per_second".
  std::vector<std::string> columns;
};

// A line for each model, in the order of `run_ids`; a cell that no run gives is empty. For people a
// number stands beside its interval, for programs the interval has columns of its own. Throws
// ConfigError where two runs give one cell, and for a column that no run gives.
Table model_table(Store& store, std::span<const std::string> run_ids, const ModelTableSpec& spec);

}  // namespace dlm
