// The chain rule along one reveal order: the exact likelihood of the sampler that reveals tokens in
// that order. Source: arXiv:2603.01367.
#pragma once

#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "models/diffusion/estimator.h"

namespace dlm {

// Options as resolved. Where `reveal_per_step` tokens are revealed together each is predicted from
// what was known before the step, as that sampler draws them.
std::unique_ptr<Estimator> make_order_estimator(const EstimatorOptions& options, DenoiserLoss loss);

// The positions 0 .. block_size - 1 in the order that `name` gives: left_to_right, right_to_left,
// spread (by bit-reversed index: 0, 4, 2, 6, 1, 5, 3, 7), or "2,0,1". Throws ConfigError for
// another name, or a list that is no permutation.
std::vector<std::int64_t> reveal_order(std::string_view name, std::int64_t block_size);

}  // namespace dlm
