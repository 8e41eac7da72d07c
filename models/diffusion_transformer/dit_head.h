// From rows after the final norm to what the output means, without ever holding all logits.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include <ATen/core/Tensor.h>

#include "models/diffusion_transformer/dit_network.h"

namespace dlm {

// What a term needs of one row's logits: ln sum_{y != mask} exp(logit_y), and the logit of its
// clean token. f64 from exponentials in f32 relative to the largest logit.
struct RowLogits {
  double log_sum = 0;
  double target = 0;
};

// rows (M, D); targets[r] in [0, V), not the mask. Logits exist for a chunk of rows and a run of
// columns at a time.
std::vector<RowLogits> row_logits(const Dit& dit, const at::Tensor& rows,
                                  std::span<const std::int64_t> targets);

// Logits as published, mask column included: (M, V) f32.
at::Tensor head_logits(const Dit& dit, const at::Tensor& rows);

// -ln p(clean token | what is known), mask excluded.
double subs_term(const RowLogits& row);

// d sigma / d t times the score entropy of a hidden position, r = 1 / expm1(sigma):
// sum_{y != mask} s_y - r ln s_x + r (ln r - 1). Source: bd3lms diffusion.py _score_entropy;
// Score-Entropy-Discrete-Diffusion graph_lib.py Absorbing.score_entropy.
double sedd_term(const DitConfig& config, const RowLogits& row, const NoiseLevel& level);

// Log-probabilities of the clean token, (B, L, V) f32, of logits (B, L, V) at x_t (B, L) int64:
// the mask column is -1e6 below, and a position that is not hidden has -1e6 everywhere and 0 at its
// own token. Source: bd3lms diffusion.py _subs_parameterization.
at::Tensor subs_log_probs(const DitConfig& config, const at::Tensor& logits, const at::Tensor& x_t);

// Log-scores (B, L, V) f32 with 0 at the entry of x_t, one sigma per sequence. Source: bd3lms
// diffusion.py _sedd_parameterization.
at::Tensor sedd_log_scores(const DitConfig& config, const at::Tensor& logits, const at::Tensor& x_t,
                           std::span<const double> sigma);

}  // namespace dlm
