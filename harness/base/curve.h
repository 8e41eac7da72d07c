// A training curve: values by step.
#pragma once

#include <cstdint>
#include <string>

namespace dlm {

struct TrainingPoint {
  std::int64_t step = 0;
  std::string metric;
  double value = 0;
};

}  // namespace dlm
