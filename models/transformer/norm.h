// Normalisation over the last dimension; statistics in f32 whatever the dtype.
#pragma once

#include <ATen/core/Tensor.h>

namespace dlm {

enum class NormKind { kLayer, kRms };

struct Norm {
  NormKind kind = NormKind::kLayer;
  at::Tensor weight;  // (D)
  at::Tensor bias;    // (D), or undefined
  double eps = 1e-5;
};

// x (..., D) -> the same shape and dtype. kLayer: (x - mean) / sqrt(variance + eps) * weight +
// bias. kRms: x / sqrt(mean(x^2) + eps) in f32, rounded to the dtype, then times weight. Source:
// transformers LlamaRMSNorm.
at::Tensor normalise(const Norm& norm, const at::Tensor& x);

}  // namespace dlm
