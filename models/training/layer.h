// One block of the diffusion transformer, forward and backward. The forward keeps what the backward
// needs and cannot cheaply compute again: norms' outputs and GELU's are computed again.
//
// Shape legend: N rows of the pass, M rows that go on after attention, D width, G groups.
#pragma once

#include <cstdint>
#include <vector>

#include <ATen/core/Tensor.h>

#include "models/training/attention_pass.h"
#include "models/training/condition.h"

namespace dlm {

struct LayerState {
  std::vector<at::Tensor> parts;  // of the modulation
  at::Tensor x, stats1;           // (N, D), the block's input
  at::Tensor q, kv;               // (M, D), (N, 2 D); parts of one tensor where M = N
  AttentionResult attention;      // (M, D)
  at::Tensor y1, keep1;           // attention's output after its projection, and what was kept
  at::Tensor middle, stats2;      // (M, D)
  at::Tensor up;                  // (M, 4 D) before the activation
  at::Tensor y2, keep2;
};

// What a layer computes on, forward and backward.
struct LayerPlace {
  const Pass& pass;
  const RowSet& rows;  // that go on after attention
  const RotaryAngles& angles;
  const TrainShape& shape;
  const LayerTensors& weights;  // what products read is rounded where the shape says so
  Condition& condition;         // its gradient is added to
  const LayerState* clean;      // the layer in the pass that has the clean keys; null: this one
  Dropout dropout;              // its place: twice the layer's number
};

// x (N, D) f32 -> (M, D) f32.
at::Tensor layer_forward(const LayerPlace& place, const at::Tensor& x, LayerState& state);

struct LayerGradients {
  const LayerTensors& sums;  // added to
  // Of the clean keys and values, (rows, 2 D) in the products' dtype: where the state of another
  // pass has the keys, written; in that pass, read.
  at::Tensor clean_kv;
};

// d_out (M, D) f32, which may be written to -> gradient of x (N, D) f32.
at::Tensor layer_backward(const LayerPlace& place, const at::Tensor& d_out, const LayerState& state,
                          LayerGradients& gradients);

}  // namespace dlm
