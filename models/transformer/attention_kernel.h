// The inner loops of prefix_attention.h: softmax(q k^T * scale) v of a strip of query rows, blocked
// so that what it touches stays in a core's own caches. Torch-free.
//
// Keys are packed first: tiles of 64 keys, transposed, so that one vector holds 16 keys.
#pragma once

#include <cstdint>

namespace dlm {

// Rows of heads in an f32 tensor (rows, heads, head_dim) with last stride 1.
struct HeadRows {
  const float* data = nullptr;
  std::int64_t row_stride = 0;  // in elements
  std::int64_t head_stride = 0;
};

// Sizes in floats of one head's packed keys and values.
struct PackedSize {
  std::int64_t keys = 0;
  std::int64_t values = 0;
};

PackedSize packed_size(std::int64_t rows, std::int64_t head_dim);

struct PackedHead {
  const float* keys = nullptr;
  const float* values = nullptr;
  std::int64_t rows = 0;
};

// Packs keys [begin, end) of one head into `keys` and `values`, which hold the packing of all keys
// from 0 on; begin is a multiple of 64, and so is end, or it is the last.
struct PackTask {
  HeadRows k, v;
  std::int64_t head = 0;
  std::int64_t head_dim = 0;
  std::int64_t begin = 0, end = 0;
  float* keys = nullptr;
  float* values = nullptr;
};

void pack_head(const PackTask& task);

// One head of a cache: keys and values (rows, head_dim), contiguous, f32 or bf16.
struct CachedHead {
  const void* keys = nullptr;
  const void* values = nullptr;
  std::int64_t rows = 0;
  std::int64_t head_dim = 0;
  bool brain = false;
};

// Packs all of `head` into `scratch`, which holds packed_size() of its rows. Values that already
// lie as a strip reads them stay where they are.
PackedHead pack_cached(const CachedHead& head, float* scratch);

inline constexpr std::int64_t kStripRows = 48;

// Keys that are read after a strip, contiguous: they are asked for while it is computed, so that
// the memory is not idle meanwhile.
struct AheadKeys {
  const void* keys = nullptr;
  std::int64_t rows = 0;
  std::int64_t element_size = 0;

  AheadKeys from(std::int64_t row, std::int64_t head_dim) const {
    if (keys == nullptr || row >= rows)
      return {};
    return {static_cast<const char*>(keys) + row * head_dim * element_size, rows - row,
            element_size};
  }
};

// Query rows [row, row + rows) of one head. Each sees the first `visible` of the shared keys; and
// either all keys of `block`, or, where own_size > 0, the own keys of its own block: rows are then
// whole blocks of own_size rows, and own keys are aligned with query rows.
struct StripTask {
  HeadRows q, own_k, own_v;
  std::int64_t head = 0;     // of the queries
  std::int64_t kv_head = 0;  // of the keys it reads
  std::int64_t head_dim = 0;
  float scale = 1;
  std::int64_t row = 0;
  std::int64_t rows = 0;                  // at most kStripRows
  const std::int32_t* visible = nullptr;  // of each strip row
  PackedHead shared;
  AheadKeys ahead;  // read while the shared keys are used; none where that is null
  PackedHead block;
  std::int64_t own_size = 0;
  float* out = nullptr;  // (rows of q, out_stride), this head's head_dim values at head * head_dim
  std::int64_t out_stride = 0;
  float* scratch = nullptr;  // strip_scratch() floats, this thread's own
};

std::int64_t strip_scratch(std::int64_t head_dim);

// Every row must see at least one key.
void attend_strip(const StripTask& task);

}  // namespace dlm
