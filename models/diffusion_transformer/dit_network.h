// The diffusion transformer's weights and the parts of its layers that both streams share. A
// struct of weights and free functions; the streams are in clean_stream.h and noisy_stream.h.
//
// Shape legend: N rows of a pass, G groups of rows under one noise level, D width, C conditioning
// width, H heads, V vocabulary with the mask.
#pragma once

#include <optional>
#include <span>
#include <vector>

#include <ATen/core/Tensor.h>

#include "models/checkpoint/checkpoint.h"
#include "models/diffusion_transformer/dit_config.h"
#include "models/diffusion_transformer/noise.h"
#include "models/transformer/decoder.h"
#include "models/transformer/rotary.h"

namespace dlm {

// Shift, scale and gate of a block (6 D outputs) or shift and scale of the end (2 D), f32.
struct Modulation {
  at::Tensor weight, bias;  // (outputs, C), (outputs)
};

struct Dit {
  DitConfig config;
  // Constant conditioning is folded in here: scale and shift are the norms' weight and bias, gates
  // multiply the rows of the layers that they follow.
  Decoder decoder;
  // The head's outputs in runs of columns, so that their logits can be summed up while in cache;
  // decoder.head is empty then. A causal network has decoder.head instead.
  std::vector<Linear> head;
  // Keys and values of the last block alone: what the clean stream needs of it.
  Linear last_keys;
  std::optional<SigmaMap> sigma_map;    // only where the noise level is read
  std::vector<Modulation> modulations;  // then: of each block, and of the end
};

// A head (V, D) with bias (V) as the runs of columns that Dit holds.
std::vector<Linear> split_head(const at::Tensor& weight, const at::Tensor& bias,
                               const Compute& compute);

// Reads a checkpoint by its published names, with or without "backbone." before them. The rotary
// buffer and the scalars sampling_eps_min and _max are not needed. Folds in f32, then rounds to the
// compute dtype. Throws ConfigError for options, DataError for tensors that do not fit. Source:
// bd3lms models/hf/modeling_bd3lm.py.
Dit load_dit_network(const Checkpoint& checkpoint, const DitConfig& config, const Compute& compute);

// The noise level of each row of a pass; empty where it is constant.
struct RowCondition {
  at::Tensor levels;    // (G, C) f32
  at::Tensor group_of;  // (N) int64

  bool constant() const { return !levels.defined(); }
};

// Groups of `span` consecutive rows, group g under sigma[g]. Constant where the model reads no
// noise level.
RowCondition row_condition(const Dit& dit, std::span<const double> sigma, std::int64_t span);

// The condition of some of the rows; rows (M) int64.
RowCondition select_rows(const RowCondition& condition, const at::Tensor& rows);

// What one layer does to each row, (N, D) each; undefined where constant, as it is folded then.
struct RowModulation {
  at::Tensor shift, scale, gate;              // attention; of the end: shift and scale
  at::Tensor mlp_shift, mlp_scale, mlp_gate;  // MLP
};

// `layer` = number of layers: the end.
RowModulation row_modulation(const Dit& dit, std::int64_t layer, const RowCondition& condition);

// The input of a block's attention: modulated norm of x (N, D).
at::Tensor attention_input(const Dit& dit, std::int64_t layer, const at::Tensor& x,
                           const RowModulation& rows);

// The rest of a block after attention: x (N, D) the block's input, mixed (N, D) the heads' outputs.
at::Tensor finish_block(const Dit& dit, std::int64_t layer, const at::Tensor& x,
                        const at::Tensor& mixed, const RowModulation& rows);

// Modulated final norm of hidden states x (M, D): what the head reads.
at::Tensor final_rows(const Dit& dit, const at::Tensor& x, const RowCondition& condition);

struct HeadTensors {
  at::Tensor q, k, v;  // (N, H, head_dim), q and k rotated
};

// Splits (N, 3 D) into heads and rotates them in place.
HeadTensors split_qkv(const DecoderShape& shape, const at::Tensor& fused, const RotaryRows& rotary);

// The same of (N, 2 D) keys and values; q stays undefined.
HeadTensors split_kv(const DecoderShape& shape, const at::Tensor& fused, const RotaryRows& rotary);

// Whether attention is by prefix_attention.h: where that works, unless the back end is libtorch's.
bool uses_own_loops(const Compute& compute);

// What scores are multiplied by before the softmax.
double attention_scale(const DecoderShape& shape);

// Attention of q (B, H, Lq, d) over k, v (B, H, Lk, d) -> (B, Lq, D). `bias` (1, 1, Lq, Lk) or
// undefined: everything is seen.
at::Tensor attend_all(const Dit& dit, const HeadTensors& heads, const at::Tensor& bias);

// 2 x multiply-adds of one block's linear layers for one row: of its attention input (q, k, v), and
// of the rest.
double qkv_flops(const DecoderShape& shape);
double rest_flops(const DecoderShape& shape);

// The same of attention for one query-key pair.
double pair_flops(const DecoderShape& shape);

}  // namespace dlm
