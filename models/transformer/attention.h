// Scaled dot-product attention by libtorch's fused kernel, or for causal passes of 64 positions and
// more by prefix_attention.h where that works: no score matrix, no copy of strided views, keys of
// grouped heads not repeated.
#pragma once

#include <cstdint>

#include <ATen/core/Tensor.h>

namespace dlm {

enum class AttentionMode {
  kCausal,  // query i sees keys 0..i; as many keys as queries
  kFull,    // every query sees every key
  kBias,    // `bias` is added to the scores: 0 = visible, -infinity = hidden
};

struct AttentionMask {
  AttentionMode mode = AttentionMode::kCausal;
  at::Tensor bias;  // kBias: (B or 1, 1, Lq, Lk), in the dtype of the queries
};

// q (B, H, Lq, D), k and v (B, Hkv, Lk, D), last stride 1, H a multiple of Hkv: query head h reads
// key head h / (H / Hkv). -> (B, Lq, H * D) contiguous: softmax(q k^T * scale + mask) v.
at::Tensor attend(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                  const AttentionMask& mask, double scale);

// Bias of `queries` new positions that follow `past` ones: query i sees keys 0..past + i.
// (1, 1, queries, past + queries).
at::Tensor causal_bias(std::int64_t past, std::int64_t queries, const at::TensorOptions& options);

}  // namespace dlm
