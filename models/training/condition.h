// Shift, scale and gate from the noise level, forward and backward: a few small products in f32.
//
// Shape legend: G groups of rows under one noise level, C conditioning width, D width.
#pragma once

#include <vector>

#include <ATen/core/Tensor.h>

#include "models/training/parameters.h"
#include "models/training/row_ops.h"

namespace dlm {

// The noise levels' vectors, and what their gradient needs.
struct Condition {
  at::Tensor waves, in, inner, out, levels;  // levels (G, C); all undefined: none
  at::Tensor gradient;                       // (G, C), of levels; added to by modulations

  bool present() const { return levels.defined(); }
};

// Source: bd3lms models/dit.py TimestepEmbedder, DIT.forward.
Condition make_condition(const NetworkTensors& values, const std::vector<double>& sigma);

void condition_backward(const NetworkTensors& values, const Condition& condition,
                        const NetworkTensors& gradients);

// The parts of one modulation, each (G, D) f32: of a layer shift, scale and gate twice, of the end
// shift and scale. Empty where there is no condition.
std::vector<at::Tensor> modulation_parts(const Affine& modulation, const Condition& condition,
                                         std::int64_t width);

// Adds to the modulation's gradients and to the condition's; parts as above.
void modulation_backward(const Affine& modulation, const Affine& gradient, Condition& condition,
                         const std::vector<at::Tensor>& d_parts);

// A norm's weight (D) and the parts of its modulation: `shift`, and scale behind it.
struct ModulatedNorm {
  const at::Tensor& weight;
  const std::vector<at::Tensor>& parts;
  std::size_t shift = 0;
};

// norm(x) * (1 + scale) + shift as vectors of norm_forward; without modulation the weight alone.
NormVectors norm_vectors(const ModulatedNorm& norm);

// Adds the norm weight's gradient, and writes those of shift and scale to d_parts.
void norm_vectors_backward(const ModulatedNorm& norm, const NormGradients& d_vectors,
                           const at::Tensor& gradient, std::vector<at::Tensor>& d_parts);

}  // namespace dlm
