// One value of a metric of a run, where one is shown: in a plot, in a paper's cell.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "harness/base/stats.h"
#include "results/store.h"

namespace dlm {

struct MetricValue {
  double value = 0;
  double error = 0;                  // standard error, of data and Monte Carlo together
  std::optional<Interval> interval;  // 95 %
  std::string variant;               // which it is; may be empty
  std::string better;                // "hi", "lo" or "none"
  bool has_error = false;            // whether the error over documents is known
  bool is_bound = false;             // an upper one
};

// The value that `metric` of a run means: "accuracy:strict" names its variant (an extractor, with
// or without its judge); "accuracy" is the one without a variant, else that of the extractor whose
// verdict the run stores with its rows, else the pooled one or k = 1, else the only one. Nothing
// where the run has no such value. Throws ConfigError, with the variants, where a name without one
// could mean several.
std::optional<MetricValue> metric_value(Store& store, const std::string& run_id,
                                        const std::string& metric);

// "nll", "accuracy:flexible", ...: every value of a run by a name that metric_value takes.
std::vector<std::string> metric_names_of(Store& store, const std::string& run_id);

}  // namespace dlm
