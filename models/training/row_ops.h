// The loops of row_loops.h over all rows of a pass, by all threads. Sums over rows are taken run by
// run and then in the order of runs, so that they do not depend on the thread count.
#pragma once

#include <cstdint>
#include <vector>

#include <ATen/core/Tensor.h>

#include "models/training/pass.h"

namespace dlm {

// Vectors (G, D) f32, one per group, of rows whose run names the group; G = 1: of all rows.
struct NormVectors {
  at::Tensor weight;
  at::Tensor bias;  // undefined: none
};

struct NormGradients {
  at::Tensor weight, bias;  // (G, D) f32: sums of d h * normalised x, and of d h
};

struct NormCall {
  const std::vector<RowRun>& runs;
  at::Tensor x;  // (N, D) f32
  NormVectors vectors;
};

// -> h (N, D) of `dtype`; stats (N, 2) f32 are made where undefined, else read.
at::Tensor norm_forward(const NormCall& call, at::ScalarType dtype, at::Tensor& stats);

// d_x (N, D) f32 += the gradient of x.
NormGradients norm_backward(const NormCall& call, const at::Tensor& stats, const at::Tensor& d_h,
                            const at::Tensor& d_x);

at::Tensor gelu_forward(const at::Tensor& u);

// Returns gelu(u); d (of gelu(u)) becomes that of u.
at::Tensor gelu_backward(const at::Tensor& u, const at::Tensor& d);

// What is dropped of a layer's outputs.
struct Dropout {
  double probability = 0;
  std::uint64_t seed = 1;
  std::uint64_t first_example = 0;
  std::uint64_t place = 0;  // of the dropout in the network

  bool drops() const { return probability > 0; }

  std::uint32_t threshold() const;

  float kept_scale() const;
};

// (M, D to whole kKeepStep) u8, 1 where a value is kept; by (seed, place, stream, example,
// position, channel). Undefined where nothing is dropped.
at::Tensor draw_keep_mask(const Dropout& dropout, const RowSet& rows, std::int64_t width);

// A residual's parts: gate (G, D) f32 or undefined, keep as draw_keep_mask gives it.
struct GateParts {
  at::Tensor gate, keep;
  float kept_scale = 1;
};

// x (M, D) f32 + gate * kept * y, y (M, D).
at::Tensor gate_forward(const std::vector<RowRun>& runs, const at::Tensor& x, const at::Tensor& y,
                        const GateParts& parts);

struct GateGradients {
  at::Tensor y;     // (M, D) of y's dtype
  at::Tensor gate;  // (G, D) f32, or undefined
};

GateGradients gate_backward(const std::vector<RowRun>& runs, const at::Tensor& d_out,
                            const at::Tensor& y, const GateParts& parts);

// gradient (V, D) += d_x (N, D) at the rows' ids.
void embedding_backward(const at::Tensor& ids, const at::Tensor& d_x, const at::Tensor& gradient);

}  // namespace dlm
