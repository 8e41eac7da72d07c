// The decoder that GPT-2, Llama and Qwen2 share: a stack of blocks over a residual stream, each
// x += attention(norm(x)), x += mlp(norm(x)). A struct of weights and free functions; a model file
// fills it in.
//
// Shape legend: N packed tokens of a pass, D width, H query heads, Hkv key heads, V vocabulary.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include <ATen/core/Tensor.h>

#include "models/transformer/compute.h"
#include "models/transformer/kv_cache.h"
#include "models/transformer/linear.h"
#include "models/transformer/norm.h"
#include "models/transformer/packed_rows.h"
#include "models/transformer/rotary.h"

namespace dlm {

struct DecoderShape {
  std::int64_t vocab_size = 0;  // V
  std::int64_t width = 0;       // D
  std::int64_t layers = 0;
  std::int64_t heads = 0;     // H
  std::int64_t kv_heads = 0;  // Hkv, divides H
  std::int64_t head_dim = 0;
  std::int64_t inner = 0;  // width of the MLP
  std::int64_t max_length = 0;
};

// up then down with the activation between; with a gate, activation(gate(x)) * up(x).
struct Mlp {
  std::optional<Linear> gate;
  Linear up;
  Linear down;
  Activation activation = Activation::kGeluTanh;
};

struct DecoderBlock {
  Norm attention_norm;
  Linear qkv;  // D -> (H + 2 Hkv) * head_dim: query heads, key heads, value heads
  Linear attention_out;
  double attention_scale = 1;
  Norm mlp_norm;
  Mlp mlp;
};

struct Decoder {
  DecoderShape shape;
  Compute compute;
  at::Tensor token_embedding;           // (V, D)
  at::Tensor position_embedding;        // (max_length, D), or undefined
  std::unique_ptr<RotaryTable> rotary;  // null with learned positions
  std::vector<DecoderBlock> blocks;
  Norm final_norm;
  Linear head;                  // D -> V
  std::int64_t parameters = 0;  // elements of the weights; a tied head counts once
};

// Hidden states before the final norm, (N, D), of packed rows; with a cache their keys are stored
// in it and its lengths grow.
at::Tensor decoder_hidden(const Decoder& decoder, const PackedRows& rows, TransformerCache* cache);

// The blocks alone: x (N, D), which is used up, in place of the rows' embeddings.
at::Tensor decoder_blocks(const Decoder& decoder, at::Tensor x, const PackedRows& rows,
                          TransformerCache* cache);

// Logits of hidden states before the final norm: (R, D) -> (R, V) f32. The product is in the
// decoder's dtype and rounded to it, as upstream does; what follows is f32.
at::Tensor decoder_logits(const Decoder& decoder, const at::Tensor& hidden);

// An mlp applied to x (N, D), added to `residual` (N, D).
at::Tensor mlp_plus(const Mlp& mlp, const at::Tensor& x, const at::Tensor& residual);

// 2 x multiply-adds of the blocks' matrix products in one pass: every linear layer over N tokens,
// and q k^T and its product with v over the query-key pairs that are visible. Padding and
// masked pairs are not counted: neither is needed.
double decoder_flops(const DecoderShape& shape, const PackedRows& rows, bool gated_mlp);

// The same of the head over `rows` rows.
double head_flops(const DecoderShape& shape, std::int64_t rows);

// Bytes of the matrices of the blocks and of the head: what a pass reads of the weights at least.
std::int64_t matrix_bytes(const Decoder& decoder);

// Bytes of one position's keys and values in every layer.
std::int64_t key_value_bytes(const Decoder& decoder);

}  // namespace dlm
