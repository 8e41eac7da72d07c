#include "models/transformer/attention_kernel.h"

#if defined(__x86_64__)
#pragma GCC target("avx512f,avx512bw,avx512dq,avx512vl,fma")
#endif

#include "models/transformer/simd.h"

namespace dlm {
namespace {

using simd::kLanes;
using simd::least;
using simd::Vec;

constexpr std::int64_t kTile = 64;    // keys of a packed tile
constexpr std::int64_t kPiece = 512;  // keys whose scores are held at a time
// Of a row of scores; apart from a power of two, so that rows do not share cache sets.
constexpr std::int64_t kScoreStride = kPiece + kLanes;
constexpr std::int64_t kRows = 6;  // query rows of a register tile: 24 sums, 4 operands
constexpr float kHidden = -1e30F;

constexpr std::int64_t up_to(std::int64_t value, std::int64_t step) {
  return (value + step - 1) / step * step;
}

constexpr std::int64_t down_to(std::int64_t value, std::int64_t step) {
  return value / step * step;
}

// s[r][16 n] (+)= sum_i a[r][i] b[i][16 n], `inner` terms; leading dimensions in floats.
struct Product {
  const float* a;
  std::int64_t a_stride;
  const float* b;
  std::int64_t b_stride;
  float* s;
  std::int64_t s_stride;
  std::int64_t inner;
  const char* ahead = nullptr;  // memory to ask for meanwhile, ahead_step bytes a term
  std::int64_t ahead_step = 0;
};

template <std::int64_t kR, std::int64_t kN, bool kAdd, bool kAhead>
DLM_KERNEL_INLINE void multiply(const Product& p) {
  Vec sums[std::size_t{kR}][std::size_t{kN}];
  for (std::int64_t r = 0; r < kR; ++r) {
    for (std::int64_t n = 0; n < kN; ++n)
      sums[r][n] = kAdd ? simd::load(p.s + r * p.s_stride + n * kLanes) : Vec{};
  }
  const float* b = p.b;
  const char* ahead = p.ahead;
  for (std::int64_t i = 0; i < p.inner; ++i, b += p.b_stride) {
    if (kAhead) {
      __builtin_prefetch(ahead, 0, 2);
      __builtin_prefetch(ahead + p.ahead_step / 2, 0, 2);
      ahead += p.ahead_step;
    }
    Vec right[std::size_t{kN}];
    for (std::int64_t n = 0; n < kN; ++n) right[n] = simd::load(b + n * kLanes);
    for (std::int64_t r = 0; r < kR; ++r) {
      const Vec left = simd::splat(p.a[r * p.a_stride + i]);
      for (std::int64_t n = 0; n < kN; ++n) sums[r][n] += left * right[n];
    }
  }
  for (std::int64_t r = 0; r < kR; ++r) {
    for (std::int64_t n = 0; n < kN; ++n)
      simd::store(p.s + r * p.s_stride + n * kLanes, sums[r][n]);
  }
}

template <std::int64_t kR, std::int64_t kN, bool kAdd>
DLM_KERNEL_INLINE void multiply_ahead(const Product& p) {
  if constexpr (kN == kTile / kLanes) {
    if (p.ahead != nullptr)
      return multiply<kR, kN, kAdd, true>(p);
  }
  multiply<kR, kN, kAdd, false>(p);
}

template <std::int64_t kN, bool kAdd>
DLM_KERNEL_INLINE void multiply_rows(const Product& p, std::int64_t rows) {
  switch (rows) {
    case 1:
      return multiply_ahead<1, kN, kAdd>(p);
    case 2:
      return multiply_ahead<2, kN, kAdd>(p);
    case 3:
      return multiply_ahead<3, kN, kAdd>(p);
    case 4:
      return multiply_ahead<4, kN, kAdd>(p);
    case 5:
      return multiply_ahead<5, kN, kAdd>(p);
    default:
      return multiply_ahead<6, kN, kAdd>(p);
  }
}

// rows <= kRows, columns a multiple of 16 up to 64.
template <bool kAdd>
void multiply_tile(const Product& p, std::int64_t rows, std::int64_t columns) {
  switch (columns / kLanes) {
    case 1:
      return multiply_rows<1, kAdd>(p, rows);
    case 2:
      return multiply_rows<2, kAdd>(p, rows);
    case 3:
      return multiply_rows<3, kAdd>(p, rows);
    default:
      return multiply_rows<4, kAdd>(p, rows);
  }
}

const float* row_of(const HeadRows& rows, std::int64_t row, std::int64_t head) {
  return rows.data + row * rows.row_stride + head * rows.head_stride;
}

// The memory to ask for while a tile's scores are computed, and its values mixed: of as many keys
// of the next head each half of them.
struct AheadOfTile {
  const char* scores = nullptr;
  const char* values = nullptr;
  std::int64_t step = 0;  // bytes a term
};

AheadOfTile ahead_of_tile(const AheadKeys& next, std::int64_t head_dim, std::int64_t key) {
  if (next.keys == nullptr || key >= next.rows)
    return {};
  const std::int64_t bytes = head_dim * next.element_size;
  const char* at = static_cast<const char*>(next.keys) + key * bytes;
  return {at, at + kTile / 2 * bytes, kTile / 2 * next.element_size};
}

// Where a thread's scratch holds what.
struct Scratch {
  std::int64_t head_dim = 0;
  std::int64_t width = 0;     // head_dim, to whole vectors
  float* q = nullptr;         // (kStripRows, head_dim), scaled
  float* out = nullptr;       // (kStripRows, width)
  float* scores = nullptr;    // (kStripRows, kScoreStride)
  float* own_keys = nullptr;  // packed, of a strip's rows
  float* own_values = nullptr;
};

Scratch scratch_of(const StripTask& task) {
  Scratch s;
  s.head_dim = task.head_dim;
  s.width = up_to(task.head_dim, kLanes);
  s.q = task.scratch;
  s.out = s.q + kStripRows * s.width;
  s.scores = s.out + kStripRows * s.width;
  s.own_keys = s.scores + kStripRows * kScoreStride;
  s.own_values = s.own_keys + packed_size(kStripRows, task.head_dim).keys;
  return s;
}

// The running softmax of each strip row; `top` in units of ln 2.
struct State {
  float top[kStripRows];
  float total[kStripRows];
};

struct Range {
  std::int64_t begin = 0, end = 0;

  bool empty() const { return begin >= end; }
};

// At most kPiece packed keys, and which of them each strip row sees.
struct Piece {
  const float* keys;
  const float* values;
  std::int64_t rows;  // of the strip
  AheadKeys ahead;    // of the next head, from this piece's first key on
  Range seen[kStripRows];

  // What any of rows [row, row + kRows) sees, begin to whole vectors.
  Range tile(std::int64_t row) const {
    Range all = {kPiece, 0};
    for (std::int64_t r = row; r < least(row + kRows, rows); ++r) {
      if (seen[r].empty())
        continue;
      all.begin = least(all.begin, seen[r].begin);
      all.end = seen[r].end > all.end ? seen[r].end : all.end;
    }
    all.begin = down_to(all.begin, kLanes);
    return all;
  }
};

// Where the keys [begin, end) lie, tile by tile: calls visit(first, count), count <= kTile.
template <class Visit>
DLM_KERNEL_INLINE void each_tile(const Range& keys, std::int64_t tile, const Visit& visit) {
  const std::int64_t first = keys.begin > tile ? keys.begin : tile;
  const std::int64_t last = least(keys.end, tile + kTile);
  if (first < last)
    visit(first, last - first);
}

void score_piece(const Piece& piece, const Range (&tiles)[kStripRows / kRows], const Scratch& s) {
  for (std::int64_t tile = 0; tile < kPiece; tile += kTile) {
    const AheadOfTile ahead = ahead_of_tile(piece.ahead, s.head_dim, tile);
    for (std::int64_t row = 0; row < piece.rows; row += kRows) {
      each_tile(tiles[row / kRows], tile, [&](std::int64_t first, std::int64_t count) {
        const Product product = {s.q + row * s.head_dim,
                                 s.head_dim,
                                 piece.keys + tile * s.head_dim + (first - tile),
                                 kTile,
                                 s.scores + row * kScoreStride + first,
                                 kScoreStride,
                                 s.head_dim,
                                 row == 0 ? ahead.scores : nullptr,
                                 ahead.step};
        multiply_tile<false>(product, least(kRows, piece.rows - row), up_to(count, kLanes));
      });
    }
  }
}

// Raises a row's top to `top`, in whose units its sums are then.
void lift(const Scratch& s, State& state, std::int64_t row, float top) {
  const float before = state.top[row];
  state.top[row] = top;
  if (before == kHidden || before == top)
    return;
  float lanes[kLanes];
  simd::store(lanes, simd::exp2_negative(simd::splat(before - top)));
  state.total[row] *= lanes[0];
  float* out = s.out + row * s.width;
  for (std::int64_t i = 0; i < s.width; i += kLanes)
    simd::store(out + i, simd::load(out + i) * lanes[0]);
}

// One row's scores -> weights relative to the row's top; what it does not see of `tile` becomes 0.
void soften_row(const Range& seen, const Range& tile, const Scratch& s, State& state,
                std::int64_t row) {
  float* scores = s.scores + row * kScoreStride;
  const std::int64_t first = down_to(seen.begin, kLanes);
  const std::int64_t last = seen.empty() ? first : up_to(seen.end, kLanes);
  for (std::int64_t i = tile.begin; i < (seen.empty() ? tile.end : first); i += kLanes)
    simd::store(scores + i, Vec{});
  if (seen.empty())
    return;
  for (std::int64_t i = last; i < tile.end; i += kLanes) simd::store(scores + i, Vec{});
  const auto hide = [&](std::int64_t at, float other) {
    simd::store(scores + at, simd::between(simd::load(scores + at), static_cast<std::int32_t>(at),
                                           static_cast<std::int32_t>(seen.begin),
                                           static_cast<std::int32_t>(seen.end), other));
  };
  hide(first, kHidden);
  hide(last - kLanes, kHidden);
  Vec high = simd::load(scores + first);
  for (std::int64_t i = first + kLanes; i < last; i += kLanes)
    high = simd::larger(high, simd::load(scores + i));
  const float top = simd::largest(high);
  if (top > state.top[row])
    lift(s, state, row, top);
  Vec added{};
  for (std::int64_t i = first; i < last; i += kLanes) {
    const Vec weight = simd::exp2_negative(simd::load(scores + i) - state.top[row]);
    simd::store(scores + i, weight);
    added += weight;
  }
  hide(first, 0);
  hide(last - kLanes, 0);
  state.total[row] += simd::sum(added);
}

void mix_piece(const Piece& piece, const Range (&tiles)[kStripRows / kRows], const Scratch& s) {
  for (std::int64_t tile = 0; tile < kPiece; tile += kTile) {
    const AheadOfTile ahead = ahead_of_tile(piece.ahead, s.head_dim, tile);
    for (std::int64_t row = 0; row < piece.rows; row += kRows) {
      each_tile(tiles[row / kRows], tile, [&](std::int64_t first, std::int64_t count) {
        for (std::int64_t column = 0; column < s.width; column += kTile) {
          const Product product = {
              s.scores + row * kScoreStride + first,
              kScoreStride,
              piece.values + first * s.width + column,
              s.width,
              s.out + row * s.width + column,
              s.width,
              count,
              row == 0 && ahead.values != nullptr ? ahead.values + column * ahead.step : nullptr,
              ahead.step};
          multiply_tile<true>(product, least(kRows, piece.rows - row),
                              least(s.width - column, kTile));
        }
      });
    }
  }
}

void add_piece(const Piece& piece, const Scratch& s, State& state) {
  Range tiles[kStripRows / kRows];
  for (std::int64_t row = 0; row < piece.rows; row += kRows) tiles[row / kRows] = piece.tile(row);
  score_piece(piece, tiles, s);
  for (std::int64_t row = 0; row < piece.rows; ++row) {
    if (!tiles[row / kRows].empty())
      soften_row(piece.seen[row], tiles[row / kRows], s, state, row);
  }
  mix_piece(piece, tiles, s);
}

// Strip row r sees the first visible[r] of `keys`; all of them where that is null.
void add_prefix(const PackedHead& keys, const std::int32_t* visible, const StripTask& task,
                State& state) {
  const Scratch s = scratch_of(task);
  for (std::int64_t first = 0; first < keys.rows; first += kPiece) {
    const std::int64_t count = least(kPiece, keys.rows - first);
    Piece piece = {keys.keys + first * s.head_dim,
                   keys.values + first * s.width,
                   task.rows,
                   task.ahead.from(first, s.head_dim),
                   {}};
    bool any = false;
    for (std::int64_t row = 0; row < task.rows; ++row) {
      piece.seen[row].end = visible == nullptr ? count : least(visible[row] - first, count);
      any = any || !piece.seen[row].empty();
    }
    if (any)
      add_piece(piece, s, state);
  }
}

void add_own(const StripTask& task, State& state) {
  const Scratch s = scratch_of(task);
  const auto from_row = [&](HeadRows rows) {
    rows.data += task.row * rows.row_stride;
    return rows;
  };
  pack_head({from_row(task.own_k), from_row(task.own_v), task.kv_head, task.head_dim, 0, task.rows,
             s.own_keys, s.own_values});
  Piece piece = {s.own_keys, s.own_values, task.rows, {}, {}};
  for (std::int64_t row = 0; row < task.rows; ++row) {
    piece.seen[row].begin = row / task.own_size * task.own_size;
    piece.seen[row].end = piece.seen[row].begin + task.own_size;
  }
  add_piece(piece, s, state);
}

// Keys [0, end) of one head, `stride` apart; `values`, if any, lie as the keys do and are read
// next.
template <class T>
struct KeyRows {
  const T* data;
  std::int64_t stride;
  std::int64_t end;
  std::int64_t head_dim;
  const T* values = nullptr;
};

// 16 keys from `key` on, 16 dimensions from `dim` on; what lies beyond either end is 0.
template <class T>
void pack_square(const KeyRows<T>& keys, std::int64_t key, std::int64_t dim, float* to) {
  Vec rows[kLanes];
  for (std::int64_t k = 0; k < kLanes; ++k) {
    rows[k] = Vec{};
    if (key + k >= keys.end)
      continue;
    const T* from = keys.data + (key + k) * keys.stride + dim;
    if (keys.values != nullptr)
      __builtin_prefetch(keys.values + (key + k) * keys.stride + dim, 0, 2);
    if (dim + kLanes <= keys.head_dim) {
      rows[k] = simd::load(from);
    } else {
      for (std::int64_t i = 0; dim + i < keys.head_dim; ++i) rows[k][i] = simd::widened(from[i]);
    }
  }
  simd::transpose(rows);
  for (std::int64_t i = 0; i < least(kLanes, keys.head_dim - dim); ++i)
    simd::store(to + i * kTile, rows[i]);
}

// Packs keys [begin, keys.end) where the packing of all of them begins at `to`.
template <class T>
void pack_keys(const KeyRows<T>& keys, std::int64_t begin, float* to) {
  for (std::int64_t key = begin; key < keys.end; key += kLanes) {
    float* tile = to + down_to(key, kTile) * keys.head_dim + key % kTile;
    for (std::int64_t i = 0; i < keys.head_dim; i += kLanes)
      pack_square(keys, key, i, tile + i * kTile);
  }
}

template <class T>
PackedHead pack_cached_typed(const CachedHead& head, float* scratch) {
  const std::int64_t dim = head.head_dim;
  const std::int64_t width = up_to(dim, kLanes);
  const T* from = static_cast<const T*>(head.values);
  pack_keys<T>({static_cast<const T*>(head.keys), dim, head.rows, dim, from}, 0, scratch);
  if constexpr (sizeof(T) == sizeof(float)) {
    if (dim == width)
      return {scratch, from, head.rows};
  }
  float* values = scratch + packed_size(head.rows, dim).keys;
  for (std::int64_t key = 0; key < head.rows; ++key, from += dim) {
    float* to = values + key * width;
    for (std::int64_t i = 0; i < dim; ++i) to[i] = simd::widened(from[i]);
    for (std::int64_t i = dim; i < width; ++i) to[i] = 0;
  }
  return {scratch, values, head.rows};
}

constexpr float kLog2E = 1.44269504F;

void load_queries(const StripTask& task, const Scratch& s) {
  const float scale = task.scale * kLog2E;
  for (std::int64_t row = 0; row < task.rows; ++row) {
    const float* from = row_of(task.q, task.row + row, task.head);
    for (std::int64_t i = 0; i < task.head_dim; ++i) s.q[row * task.head_dim + i] = from[i] * scale;
  }
}

void store_rows(const StripTask& task, const Scratch& s, const State& state) {
  for (std::int64_t row = 0; row < task.rows; ++row) {
    const float inverse = 1 / state.total[row];
    float* to = task.out + (task.row + row) * task.out_stride + task.head * task.head_dim;
    for (std::int64_t i = 0; i < task.head_dim; ++i) to[i] = s.out[row * s.width + i] * inverse;
  }
}

}  // namespace

PackedSize packed_size(std::int64_t rows, std::int64_t head_dim) {
  const std::int64_t padded = up_to(rows, kTile);
  return {padded * head_dim, padded * up_to(head_dim, kLanes)};
}

std::int64_t strip_scratch(std::int64_t head_dim) {
  const PackedSize own = packed_size(kStripRows, head_dim);
  return kStripRows * (2 * up_to(head_dim, kLanes) + kScoreStride) + own.keys + own.values;
}

void pack_head(const PackTask& task) {
  const std::int64_t dim = task.head_dim;
  const std::int64_t width = up_to(dim, kLanes);
  pack_keys<float>({row_of(task.k, 0, task.head), task.k.row_stride, task.end, dim}, task.begin,
                   task.keys);
  for (std::int64_t key = task.begin; key < task.end; ++key) {
    const float* from = row_of(task.v, key, task.head);
    float* to = task.values + key * width;
    for (std::int64_t i = 0; i < dim; ++i) to[i] = from[i];
    for (std::int64_t i = dim; i < width; ++i) to[i] = 0;
  }
}

PackedHead pack_cached(const CachedHead& head, float* scratch) {
  return head.brain ? pack_cached_typed<simd::Brain>(head, scratch)
                    : pack_cached_typed<float>(head, scratch);
}

void attend_strip(const StripTask& task) {
  const Scratch s = scratch_of(task);
  State state;
  for (std::int64_t row = 0; row < task.rows; ++row) {
    state.top[row] = kHidden;
    state.total[row] = 0;
    for (std::int64_t i = 0; i < s.width; ++i) s.out[row * s.width + i] = 0;
  }
  load_queries(task, s);
  add_prefix(task.shared, task.visible, task, state);
  if (task.block.rows > 0)
    add_prefix(task.block, nullptr, task, state);
  else if (task.own_size > 0)
    add_own(task, state);
  store_rows(task, s, state);
}

}  // namespace dlm
