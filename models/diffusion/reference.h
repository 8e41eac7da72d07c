// The published estimator: one noise level for each block, one low-discrepancy set of them for each
// sequence, tokens masked independently, weight 1 / t.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "models/diffusion/estimator.h"

namespace dlm {

// Source: bd3lms diffusion.py `_sample_t`, `_forward_pass_diffusion`. Options as resolved.
std::unique_ptr<Estimator> make_reference_estimator(const EstimatorOptions& options,
                                                    DenoiserLoss loss);

// The noise of one sequence, made elsewhere: t of each block, and for each position whether it is
// masked.
struct GivenNoise {
  std::vector<double> t;
  std::vector<std::uint8_t> masked;
};

// The published per-token terms under given noise: result[s][i] = w (-log p(x_i | known tokens)),
// nats, at masked positions, 0 elsewhere; w = 1 / t, or 1 for all where t_min > 0.5, or for score
// entropy, whose terms hold their weight. Throws ConfigError where the noise does not fit its
// sequence.
std::vector<std::vector<double>> reference_terms(
    const Denoiser& denoiser, std::span<const std::vector<std::int64_t>> sequences,
    std::span<const GivenNoise> noise, const EstimatorOptions& options);

}  // namespace dlm
