// The likelihood estimators that LLaDA and Dream publish. Internal to estimator.cc.
#pragma once

#include <memory>

#include "models/diffusion/estimator.h"

namespace dlm {

// Exactly k of the n tokens of a block are hidden, weight n / k. The b draws of a group take k_j =
// round(k + j n / b), wrapped into 1..n, k uniform. Unbiased. Source: LLaDA get_log_likelihood.py
// forward_process.
std::unique_ptr<Estimator> make_llada_estimator(const EstimatorOptions& options, DenoiserLoss loss);

// Each token of a block but its first and last is hidden with chance p, weight 1 / p. The b draws
// of a group take p = t_min + (1 - t_min) ((u + j / b) mod 1). The last token is never scored, so
// the result bounds nothing. Source: Dream eval/eval.py _forward_process.
std::unique_ptr<Estimator> make_dream_estimator(const EstimatorOptions& options, DenoiserLoss loss);

// k_j of the draws of one group, each in 1..n. `k` in 1..n.
std::vector<std::int64_t> llada_mask_counts(std::int64_t k, std::int64_t n, std::int64_t draws);

}  // namespace dlm
