// Attention of packed rows, causal or both ways, over their own keys or over a KV cache.
#pragma once

#include <cstdint>
#include <vector>

#include <ATen/core/Tensor.h>

#include "models/transformer/attention.h"
#include "models/transformer/cached_attention.h"
#include "models/transformer/packed_rows.h"

namespace dlm {

// How a pass attends, decided once and used by every layer.
struct AttentionPlan {
  std::vector<CachedQueries> cached;  // rows that cached_attention.h computes
  bool one_call = false;              // all rows in one kernel call, else a call per other row
  bool from_cache = false;            // keys and values are read from the cache
  std::vector<AttentionMask> masks;   // one for one_call, else one per row
};

// A row of a few new tokens behind cached ones goes by cached_attention.h where that works. Others:
// no cache, or one where every row begins: rows attend to themselves. Rows of one length and start
// share a call, and so do single tokens of every row of a ragged batch, with a bias that hides what
// lies beyond each row; otherwise each row is a call of its own, without padding or bias.
AttentionPlan plan_attention(const PackedRows& rows, const at::TensorOptions& options);

struct CachedKeys {
  at::Tensor keys, values;  // (B, Hkv, capacity, D), new ones stored; undefined without a cache
};

// q (N, H, D), k and v (N, Hkv, D) -> (N, H * D).
struct PackedQkv {
  at::Tensor q, k, v;
};

at::Tensor attend_packed(const PackedQkv& qkv, const PackedRows& rows, const AttentionPlan& plan,
                         const CachedKeys& cache, double scale);

// Query-key pairs that attention needs, summed over rows.
double visible_pairs(const PackedRows& rows);

}  // namespace dlm
