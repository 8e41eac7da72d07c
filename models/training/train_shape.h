// The shape of a network that is trained.
#pragma once

#include <cstdint>

namespace dlm {

struct TrainShape {
  std::int64_t layers = 0;
  std::int64_t width = 0;  // D
  std::int64_t heads = 0;  // H
  std::int64_t cond_dim = 0;
  std::int64_t vocab_size = 0;  // V, the mask counted
  std::int64_t length = 0;
  bool adaln = true;
  bool time_conditioned = false;  // the noise level is read, one per sequence
  bool brain = false;             // products in bf16

  std::int64_t head_dim() const { return width / heads; }

  std::int64_t inner() const { return 4 * width; }
};

}  // namespace dlm
