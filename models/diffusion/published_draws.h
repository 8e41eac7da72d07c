// The likelihood estimators that LLaDA and Dream publish. Internal to estimator.cc.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "models/diffusion/estimator.h"

namespace dlm {

// Exactly k of the n tokens of a block are hidden, weight n / k. The b draws of a group take k_j =
// round(k + j n / b), wrapped into 1..n, k uniform. Unbiased, since each k_j is uniform: halves are
// rounded up. With strata = "published" they are rounded to even, as the original does; where j n /
// b can be a half, k_j is then not uniform and the estimate is biased (by some percent for blocks
// of a few tokens), so it bounds nothing. Groups of one draw are the same both ways. Source: LLaDA
// get_log_likelihood.py forward_process.
std::unique_ptr<Estimator> make_llada_estimator(const EstimatorOptions& options, DenoiserLoss loss);

// Each token of a block but its first and last is hidden with chance p, weight 1 / p. The b draws
// of a group take p = t_min + (1 - t_min) ((u + j / b) mod 1). Those two are never scored, so the
// result bounds nothing, and max(0, L' - 2) tokens of a block are what it is divided by. Source:
// Dream eval/eval.py _forward_process.
std::unique_ptr<Estimator> make_dream_estimator(const EstimatorOptions& options, DenoiserLoss loss);

enum class HalfRounding { kUp, kToEven };

// k_j of the draws of one group, each in 1..n. `k` in 1..n. Rounding halves up, k_j takes every
// value once while k does.
std::vector<std::int64_t> llada_mask_counts(std::int64_t k, std::int64_t n, std::int64_t draws,
                                            HalfRounding halves = HalfRounding::kUp);

}  // namespace dlm
