// y = x W^T + b by loops of our own (panel_kernel.h), for f32 and bf16 on the CPU. One copy of the
// weights serves few rows, read at memory speed, and many.
#pragma once

#include <cstdint>
#include <memory>

#include <ATen/core/Tensor.h>

#include "models/transformer/panel_kernel.h"

namespace dlm {

class PanelWeights;

// Whether this processor computes `dtype` so: f32 with AVX-512, bf16 with AMX.
bool panels_work(at::Device device, at::ScalarType dtype);

// `weight` (outputs, inputs) f32 or bf16 on the CPU; `bias` (outputs) of the same dtype, or
// undefined.
std::shared_ptr<const PanelWeights> make_panels(const at::Tensor& weight, const at::Tensor& bias);

struct PanelEnd {
  PanelActivation activation = PanelActivation::kNone;
  PanelCombine combine = PanelCombine::kNone;
  at::Tensor other = {};  // (rows, outputs) contiguous
};

// combine(activation(x W^T + b), other); x (rows, inputs), last stride 1, in the weights' dtype ->
// (rows, outputs). A row's bits depend on neither the other rows, nor their number, nor the number
// of threads.
at::Tensor panel_linear(const PanelWeights& weights, const at::Tensor& x, const PanelEnd& end);

}  // namespace dlm
