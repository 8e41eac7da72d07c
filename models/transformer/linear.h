// y = x W^T + b by one of three back ends, with what follows the product fused into it where the
// back end can.
//
// kPanels is our own (panel_linear.h): every weight packed once, at load, the plain copy gone.
// kOneDnn packs each weight once, at load, into oneDNN's blocked order; the plain copy is then
// gone, so memory stays that of one copy. Its products round as any f32 or bf16 product does;
// nothing is computed in a lower precision than asked.
//
// Measured, 2 Xeon cores with AMX that read 37 GB/s from large pages, f32, (rows, 768) x (768,
// 3072), kPanels: 1 row 31 GB/s of weights, 16 rows 22 GB/s; 256 rows 511 GFLOP/s. In another run
// kOneDnn gave 310, where multiply-adds of f32 could give 350 at most.
//
// Measured, 2 Zen 4 cores, GFLOP/s of kAten / kOneDnn, (rows, 1280) x (1280, 5120):
//   f32   1 row 8 / 25     16 rows 66 / 179     1024 rows 173 / 222
//   bf16  1 row 19 / 97    16 rows 271 / 357    1024 rows 408 / 446
// GELU and the residual addition cost 14 ms and 1 ms of 60 ms apart, and nothing fused.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include <ATen/core/Tensor.h>

namespace dlm {

// kMapped computes as kAten and leaves weights in the checkpoint's file where their dtype is the
// one computed in: they are read when a pass needs them, and not checked for NaN before. For models
// that fill most of the machine's memory; slower, as each product lays out its weights anew.
enum class LinearBackend { kAten, kOneDnn, kPanels, kMapped };

class PanelWeights;

// "aten", "onednn", "panels", "mapped", or "auto": kPanels where this CPU has its instructions for
// `dtype`, else kOneDnn where this libtorch and CPU can pack weights with it, else kAten. A fixed
// rule, so that a run that resumes computes as it did before. Throws ConfigError for another name,
// and for one that cannot compute here.
LinearBackend resolve_linear_backend(const std::string& name, at::Device device,
                                     at::ScalarType dtype);

struct Linear {
  at::Tensor weight;  // kAten: (outputs, inputs), any strides; kOneDnn: opaque; kPanels: undefined
  at::Tensor bias;    // (outputs), or undefined
  std::shared_ptr<const PanelWeights> panels;  // kPanels
  std::int64_t inputs = 0;
  std::int64_t outputs = 0;
  LinearBackend backend = LinearBackend::kAten;
};

// `weight` (outputs, inputs), any strides, is dropped by kOneDnn and kPanels after packing unless
// the caller keeps it. `bias` may be undefined.
Linear make_linear(const at::Tensor& weight, const at::Tensor& bias, LinearBackend backend);

enum class Activation { kGelu, kGeluTanh, kSilu };  // erf form; tanh form; x sigmoid(x)

// x (rows, inputs) contiguous -> (rows, outputs), both in the weight's dtype.
at::Tensor linear(const Linear& layer, const at::Tensor& x);

// activation(x W^T + b).
at::Tensor linear_activated(const Linear& layer, const at::Tensor& x, Activation activation);

// x W^T + b + other, and (x W^T + b) * other; other (rows, outputs) contiguous.
at::Tensor linear_plus(const Linear& layer, const at::Tensor& x, const at::Tensor& other);
at::Tensor linear_times(const Linear& layer, const at::Tensor& x, const at::Tensor& other);

}  // namespace dlm
