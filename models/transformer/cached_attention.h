// Attention of a few new positions over the keys and values of a cache, by the loops of
// attention_kernel.h: each row's keys are read once, where they lie, for all queries that see them.
// Measured, one busy Xeon core, f32, 516 keys of a head of 64, not in cache: 4 queries 34 us in
// large pages, 43 us in small ones; 16 queries 48 and 55 us.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include <ATen/core/Tensor.h>

namespace dlm {

// Queries [offset, offset + visible.size()) of q: query i sees the first visible[i] keys, at least
// one, from place `first` of the cache's row on. Neighbours of one row and place share a reading.
struct CachedQueries {
  std::int64_t row = 0;
  std::int64_t first = 0;
  std::int64_t offset = 0;
  std::vector<std::int32_t> visible;
};

struct CachedTensors {
  at::Tensor q;             // (N, H, D), last stride 1
  at::Tensor keys, values;  // (rows, Hkv, places, D) contiguous, H a multiple of Hkv
};

// True for f32 and bf16 on CPUs that run the loops.
bool cached_attention_works(at::Device device, at::ScalarType dtype);

// softmax(q k^T * scale) v -> (N, H * D) in q's dtype; rows of q that no entry names are not
// defined. Sums in f32. A query's result does not depend, to the bit, on the other queries, on the
// number of rows or on the number of threads.
at::Tensor attend_cached(const CachedTensors& in, std::span<const CachedQueries> queries,
                         double scale);

}  // namespace dlm
