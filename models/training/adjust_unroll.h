// An ADJUST layer run pass after pass on its own states, forward and backward; the base's states,
// embeddings and head are given, and stay as they are.
//
// Shape legend: B sequences of S positions, N = B S; M rows of a pass that carry loss; D width, V
// vocabulary with the mask.
#pragma once

#include <cstdint>
#include <vector>

#include <ATen/core/Tensor.h>

#include "models/training/adjust_loops.h"
#include "models/training/adjust_parameters.h"
#include "models/training/attention_pass.h"

namespace dlm {

// What of the base a layer's training reads beside its states and laws.
struct AdjustBase {
  at::Tensor embedding;  // (V, D) f32
  Affine head;           // (V, D), (V) f32
  std::int64_t mask_id = 0;
};

// One pass of a window: the texts it reads, and the laws that its outputs are compared with.
struct AdjustTarget {
  at::Tensor ids;                        // (N) int64
  at::Tensor rows;                       // (M) int64 of the N; empty: the pass carries no loss
  at::Tensor laws;                       // (M, V) f32, the teacher's
  std::vector<double> negative_entropy;  // (M) sum p ln p of them
  std::vector<double> weights;           // (M) of a row's divergence in the loss
};

struct AdjustUnroll {
  const AdjustConfig& config;
  const AdjustBase& base;
  const RotaryAngles& angles;
  std::int64_t sequences = 0;         // B
  at::Tensor states;                  // (N, D) f32, of the base
  std::vector<AdjustTarget> targets;  // of each pass
  std::int64_t chunk_rows = 256;      // rows whose logits are held at a time
};

// Of every pass and row with loss: the teacher's law against the layer's.
std::vector<std::vector<RowDivergence>> unroll_divergences(const AdjustUnroll& unroll,
                                                           const AdjustTensors& weights);

// The same, and adds the gradients of scale x the sum of weight x divergence to `gradients`, those
// through the recursion of states included.
std::vector<std::vector<RowDivergence>> unroll_backward(const AdjustUnroll& unroll,
                                                        const AdjustTensors& weights, double scale,
                                                        const AdjustTensors& gradients);

// 2 x multiply-adds of the matrix products of a forward pass, from shapes.
double unroll_flops(const AdjustUnroll& unroll);

}  // namespace dlm
