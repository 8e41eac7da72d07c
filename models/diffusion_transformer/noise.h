// The noise level as the published networks are told it.
#pragma once

#include <span>

#include <ATen/core/Tensor.h>

#include "models/diffusion_transformer/dit_config.h"

namespace dlm {

struct NoiseLevel {
  double sigma = 0;  // total noise
  double rate = 0;   // d sigma / d t
};

// kClipped: sigma = min(-ln(1 - t), -ln 1e-3), rate = expm1(sigma) / t. kSmoothed: with
// q = (1 - 1e-3) t, sigma = -ln(1 - q), rate = (1 - 1e-3) / (1 - q). t in (0, 1]. Source: bd3lms
// diffusion.py (_sigma_from_p, mdlm_loss_scale); mdlm noise_schedule.py LogLinearNoise.
NoiseLevel noise_level(NoiseConvention convention, double t);

// The two layers between sigma and the blocks, f32.
struct SigmaMap {
  at::Tensor in_weight, in_bias;    // (C, 256), (C)
  at::Tensor out_weight, out_bias;  // (C, C), (C)
};

// One vector per sigma, (G, C) f32: SiLU(W2 SiLU(W1 e + b1) + b2), e = [cos(sigma f_i), sin(sigma
// f_i)], f_i = 10000^(-i/128), i < 128. Source: bd3lms models/dit.py TimestepEmbedder, DIT.forward.
at::Tensor sigma_condition(const SigmaMap& map, std::span<const double> sigma);

}  // namespace dlm
