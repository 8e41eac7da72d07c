// What every metric is: a function from the rows of a run to estimates.
#pragma once

#include <span>
#include <vector>

#include "harness/base/record.h"

namespace dlm {

class Metric {
 public:
  virtual ~Metric() = default;

  // What it computes, one row for each name that its estimates carry.
  virtual std::vector<MetricDefinition> definitions() const = 0;

  // Throws ConfigError where the rows hold nothing to measure, InternalError for a row with a value
  // that is not finite.
  virtual std::vector<Estimate> compute(std::span<const ExampleRow> rows) const = 0;
};

}  // namespace dlm
