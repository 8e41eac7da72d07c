// Attention of a whole pass: attention_loops.h over its sequences and heads, by all threads.
#pragma once

#include <cstdint>

#include <ATen/core/Tensor.h>

#include "models/training/pass.h"

namespace dlm {

// Angles of rotary positions, (positions, head_dim / 2) f32.
struct RotaryAngles {
  at::Tensor cos, sin;
};

RotaryAngles rotary_angles(std::int64_t positions, std::int64_t head_dim, double theta = 10000);

// Queries (M, D), keys and values (rows, D), all of one dtype, last stride 1; before rotation.
struct AttentionTensors {
  at::Tensor q;
  at::Tensor noisy_k, noisy_v;
  at::Tensor clean_k, clean_v;
};

struct AttentionResult {
  at::Tensor out;  // (M, D)
  at::Tensor lse;  // (M, H) f32, base 2
};

struct AttentionPlace {
  const Pass& pass;
  const RowSet& queries;
  const RotaryAngles& angles;
  std::int64_t heads = 1;
};

AttentionResult attention_forward(const AttentionPlace& place, const AttentionTensors& in);

struct AttentionGradients {
  at::Tensor d_out;         // (M, D), read
  AttentionTensors d_in;    // written
  bool adds_clean = false;  // those of clean keys are added to what is there
};

void attention_backward(const AttentionPlace& place, const AttentionTensors& in,
                        const AttentionResult& result, const AttentionGradients& gradients);

}  // namespace dlm
