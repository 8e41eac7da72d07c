// The training loss written plainly, in f64, with a dense mask over [x_t ; x] and libtorch's
// automatic differentiation. What the gradients written by hand are compared with.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include <ATen/core/Tensor.h>

#include "models/training/noise_draws.h"

namespace dlm::testing {

using NamedTensors = std::map<std::string, at::Tensor>;

struct NaiveCase {
  std::string objective = "bd3lm";
  std::int64_t layers = 0;
  std::int64_t heads = 0;
  std::int64_t block_size = 0;
  std::int64_t mask_id = 0;
};

// The sum of weighted terms of a batch, a scalar; `noise` of every block, empty for "ar". Weights
// are f64, by the parameters' names.
at::Tensor naive_loss(const NamedTensors& weights, const NaiveCase& of, const at::Tensor& ids,
                      const std::vector<BlockNoise>& noise);

}  // namespace dlm::testing
