// The training loss over naive_network.h, with libtorch's automatic differentiation. What the
// gradients written by hand are compared with.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <ATen/core/Tensor.h>

#include "models/training/noise_draws.h"
#include "tests/models/dit/naive_network.h"

namespace dlm::testing {

struct NaiveCase {
  std::string objective = "bd3lm";
  std::int64_t heads = 0;
  std::int64_t block_size = 0;
  std::int64_t mask_id = 0;
};

// The sum of weighted terms of a batch, a scalar; `noise` of every block, empty for "ar". Weights
// are f64, by the parameters' names.
at::Tensor naive_loss(const NamedTensors& weights, const NaiveCase& of, const at::Tensor& ids,
                      const std::vector<BlockNoise>& noise);

}  // namespace dlm::testing
