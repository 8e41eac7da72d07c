#include "models/training/matrix_tiles.h"

#if defined(__x86_64__)
#include <immintrin.h>
#pragma GCC target("avx512f,avx512bw,avx512dq,avx512vl,fma,amx-tile,amx-bf16")
#include "models/transformer/matrix_unit.h"
#endif

namespace dlm {
#if defined(__x86_64__)
namespace {

using simd::as;
using simd::before_tiles_read;
using simd::Brain;
using simd::configure_tiles;
using simd::kLanes;
using simd::least;
using simd::paired;
using simd::Vec;
using simd::VecBrain;
using simd::VecWord;

constexpr std::int64_t kPairs = kTileInner / 2;
constexpr std::int64_t kSums = kTileOuter * kTileOuter;  // f32 of a tile

// To the nearest bf16, halves away from 0. What a NaN loses here, the rest keeps.
DLM_KERNEL_INLINE Vec upper_part(Vec value) {
  return as<Vec>((as<VecWord>(value) + 0x8000U) & 0xFFFF0000U);
}

struct Parts {
  Vec high, middle, low;
};

DLM_KERNEL_INLINE Parts taken_apart(Vec value) {
  const Vec high = upper_part(value);
  const Vec rest = value - high;
  const Vec middle = upper_part(rest);
  return {high, middle, rest - middle};
}

using VecHalf = std::uint16_t __attribute__((vector_size(64)));

// Upper halves of a, then those of b.
DLM_KERNEL_INLINE VecWord in_a_row(Vec a, Vec b) {
  constexpr VecHalf kOdd = {1,  3,  5,  7,  9,  11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31,
                            33, 35, 37, 39, 41, 43, 45, 47, 49, 51, 53, 55, 57, 59, 61, 63};
  return as<VecWord>(__builtin_shuffle(as<VecHalf>(a), as<VecHalf>(b), kOdd));
}

// Part p of a tile: 16 words of 16 pairs of bf16. In rows, word o holds the 32 inner elements of
// outer o; in pairs, word i holds inner elements 2 i and 2 i + 1 of each outer.
using TileWords = VecWord[3][kTileOuter];

DLM_KERNEL_INLINE void put(TileWords& words, std::int64_t at, const Parts& a, const Parts& b,
                           bool pairs) {
  words[0][at] = pairs ? paired(a.high, b.high) : in_a_row(a.high, b.high);
  words[1][at] = pairs ? paired(a.middle, b.middle) : in_a_row(a.middle, b.middle);
  words[2][at] = pairs ? paired(a.low, b.low) : in_a_row(a.low, b.low);
}

template <bool kTransposed>
DLM_KERNEL_INLINE void read_tile(const float* from, std::int64_t stride, TileWords& words) {
  for (std::int64_t i = 0; i < kTileOuter; ++i) {
    const float* first = kTransposed ? from + 2 * i * stride : from + i * stride;
    const float* second = kTransposed ? first + stride : first + kLanes;
    put(words, i, taken_apart(simd::load(first)), taken_apart(simd::load(second)), kTransposed);
  }
}

DLM_KERNEL_INLINE VecWord widened_words(const Brain* from) {
  VecBrain half;
  std::memcpy(&half, from, sizeof half);
  return __builtin_convertvector(half, VecWord);
}

template <bool kTransposed>
DLM_KERNEL_INLINE void read_tile(const Brain* from, std::int64_t stride, TileWords& words) {
  for (std::int64_t i = 0; i < kTileOuter; ++i) {
    if (kTransposed) {
      const Brain* at = from + 2 * i * stride;
      words[0][i] = widened_words(at) | widened_words(at + stride) << 16;
    } else {
      std::memcpy(&words[0][i], from + i * stride, sizeof words[0][i]);
    }
  }
}

// Where a tile lies in its matrix, and how much of it is inside.
struct TilePlace {
  std::int64_t outer = 0, inner = 0;
  std::int64_t outer_count = 0, inner_count = 0;
};

// The tile's elements, from a copy with zeros around it where it reaches over the edge.
template <class T, bool kTransposed>
DLM_KERNEL_INLINE void read_any_tile(const ProductSide& side, const TilePlace& place,
                                     TileWords& words) {
  const T* from =
      static_cast<const T*>(side.data) + (kTransposed ? place.inner * side.stride + place.outer
                                                      : place.outer * side.stride + place.inner);
  if (place.outer_count >= kTileOuter && place.inner_count >= kTileInner) {
    read_tile<kTransposed>(from, side.stride, words);
    return;
  }
  alignas(64) T copy[kTileSize] = {};
  constexpr std::int64_t kStride = kTransposed ? kTileOuter : kTileInner;
  const std::int64_t lines =
      kTransposed ? least(place.inner_count, kTileInner) : least(place.outer_count, kTileOuter);
  const std::int64_t values =
      kTransposed ? least(place.outer_count, kTileOuter) : least(place.inner_count, kTileInner);
  for (std::int64_t line = 0; line < lines; ++line) {
    for (std::int64_t i = 0; i < values; ++i)
      copy[line * kStride + i] = from[line * side.stride + i];
  }
  read_tile<kTransposed>(copy, kStride, words);
}

// Writes the tile's parts, `step` bf16 apart; `pairs`: as the right side has them, else in rows.
template <class T, bool kPairs>
DLM_KERNEL_INLINE void fill_tile(const ProductSide& side, const TilePlace& place, std::uint16_t* to,
                                 std::int64_t step) {
  constexpr int kParts = sizeof(T) == 2 ? 1 : 3;
  TileWords words;
  if (side.transposed)
    read_any_tile<T, true>(side, place, words);
  else
    read_any_tile<T, false>(side, place, words);
  for (int part = 0; part < kParts; ++part) {
    Vec lines[kTileOuter];
    for (std::int64_t i = 0; i < kTileOuter; ++i) lines[i] = as<Vec>(words[part][i]);
    if (side.transposed != kPairs)
      simd::transpose(lines);
    for (std::int64_t i = 0; i < kTileOuter; ++i)
      std::memcpy(to + part * step + i * kTileInner, &lines[i], sizeof lines[i]);
  }
}

template <bool kPairs>
void fill(const MatrixProduct& product, const TilePlace& place, std::uint16_t* to,
          std::int64_t step) {
  const ProductSide& side = kPairs ? product.right : product.left;
  if (product.brain)
    fill_tile<Brain, kPairs>(side, place, to, step);
  else
    fill_tile<float, kPairs>(side, place, to, step);
}

DLM_KERNEL_INLINE void load_left(const std::uint16_t* first, const std::uint16_t* second) {
  _tile_loadd(4, first, 64);
  _tile_loadd(5, second, 64);
}

// The two tiles of a pair of columns lie one after another.
DLM_KERNEL_INLINE void load_right(const std::uint16_t* at) {
  _tile_loadd(6, at, 64);
  _tile_loadd(7, at + kTileSize, 64);
}

DLM_KERNEL_INLINE void multiply_tiles() {
  _tile_dpbf16ps(0, 4, 6);
  _tile_dpbf16ps(1, 4, 7);
  _tile_dpbf16ps(2, 5, 6);
  _tile_dpbf16ps(3, 5, 7);
}

// What will be read after, fetched into the core's cache meanwhile: so many lines a step.
struct Ahead {
  const std::uint16_t* at = nullptr;
  std::int64_t lines = 0;
};

constexpr std::int64_t kLine = 32;  // bf16 of a cache line

// Two tiles of rows with two of columns over `count` inner tiles.
template <bool kBrain>
DLM_KERNEL_INLINE void multiply_stretch(const std::uint16_t* first, const std::uint16_t* second,
                                        const std::uint16_t* right, std::int64_t count,
                                        Ahead ahead) {
  for (std::int64_t i = 0; i < count; ++i) {
    for (std::int64_t line = 0; line < ahead.lines; ++line)
      __builtin_prefetch(ahead.at + line * kLine, 0, 2);
    ahead.at += ahead.lines * kLine;
    if (kBrain) {
      load_left(first, second);
      load_right(right);
      multiply_tiles();
      first += kTileSize;
      second += kTileSize;
      right += 2 * kTileSize;
      continue;
    }
    load_left(first, second);
    load_right(right + 4 * kTileSize);
    multiply_tiles();  // high x low
    load_right(right + 2 * kTileSize);
    multiply_tiles();  // high x middle
    load_left(first + kTileSize, second + kTileSize);
    multiply_tiles();  // middle x middle
    load_right(right);
    multiply_tiles();  // middle x high
    load_left(first + 2 * kTileSize, second + 2 * kTileSize);
    multiply_tiles();  // low x high
    load_left(first, second);
    multiply_tiles();  // high x high
    first += 3 * kTileSize;
    second += 3 * kTileSize;
    right += 6 * kTileSize;
  }
}

DLM_KERNEL_INLINE void load_sums(const float* sums, bool fresh) {
  if (fresh) {
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
    return;
  }
  _tile_loadd(0, sums, 64);
  _tile_loadd(1, sums + kSums, 64);
  _tile_loadd(2, sums + 2 * kSums, 64);
  _tile_loadd(3, sums + 3 * kSums, 64);
}

DLM_KERNEL_INLINE void store_sums(float* sums) {
  _tile_stored(0, sums, 64);
  _tile_stored(1, sums + kSums, 64);
  _tile_stored(2, sums + 2 * kSums, 64);
  _tile_stored(3, sums + 3 * kSums, 64);
}

template <bool kBrain>
class BlockLoop {
 public:
  BlockLoop(const MatrixProduct& product, const LeftBlock& block, const TileScratch& scratch)
      : product_(product), block_(block), scratch_(scratch) {}

  // A group of pairs of columns: their sums stay while the inner elements go by.
  void group(std::int64_t first, std::int64_t last) {
    for (std::int64_t step = 0; step < block_.span.size(); step += kStretch) {
      const InnerSpan stretch = {step, least(step + kStretch, block_.span.size())};
      for (std::int64_t pair = first; pair < last; ++pair) {
        fill_right(pair, stretch);
        multiply_pair(pair - first, stretch);
      }
    }
    for (std::int64_t pair = first; pair < last; ++pair) finish_pair(pair, sums_of(pair - first));
  }

 private:
  static constexpr std::int64_t kParts = kBrain ? 1 : 3;
  static constexpr std::int64_t kStretch = kRightTiles / (2 * kParts);

  void fill_right(std::int64_t pair, const InnerSpan& stretch) {
    for (std::int64_t step = stretch.begin; step < stretch.end; ++step) {
      const std::int64_t inner = (block_.span.begin + step) * kTileInner;
      for (std::int64_t n = 0; n < 2; ++n) {
        const std::int64_t outer = (2 * pair + n) * kTileOuter;
        std::uint16_t* to = scratch_.right + ((step - stretch.begin) * 2 * kParts + n) * kTileSize;
        const TilePlace place = {outer, inner, product_.columns - outer, product_.inner - inner};
        if (place.outer_count > 0)
          fill<true>(product_, place, to, 2 * kTileSize);
        else
          clear(to);
      }
    }
    before_tiles_read(scratch_.right);
  }

  float* sums_of(std::int64_t pair) const {
    return scratch_.sums + pair * block_.tiles * 2 * kSums;
  }

  // Pair `pair` of the group. Each of a group's pairs fetches its share of the next stretch.
  void multiply_pair(std::int64_t pair, const InnerSpan& stretch) {
    constexpr std::int64_t kTiles = kStretch * kParts * kTileSize;
    const std::uint16_t* left = block_.parts + stretch.begin * block_.tiles * kParts * kTileSize;
    Ahead ahead;
    if (stretch.end < block_.span.size() && pair < kGroupPairs) {
      ahead.lines = 2 * kTiles / kGroupPairs / kStretch / kLine;
      ahead.at = left + block_.tiles * kTiles + pair * (2 * kTiles / kGroupPairs);
    }
    float* sums = sums_of(pair);
    for (std::int64_t tile = 0; tile < block_.tiles; tile += 2) {
      load_sums(sums, stretch.begin == 0);
      multiply_stretch<kBrain>(left, left + kTiles, scratch_.right, stretch.size(), ahead);
      store_sums(sums);
      left += 2 * kTiles;
      ahead.at += 2 * kTiles;
      sums += 4 * kSums;
    }
    before_tiles_read(scratch_.sums);
  }

  static void clear(std::uint16_t* to) {
    for (std::int64_t part = 0; part < kParts; ++part)
      std::memset(to + part * 2 * kTileSize, 0, sizeof(std::uint16_t) * kTileSize);
  }

  void finish_pair(std::int64_t pair, const float* sums) {
    for (std::int64_t tile = 0; tile < block_.tiles; ++tile) {
      const std::int64_t row = block_.first_row + tile * kTileOuter;
      for (std::int64_t n = 0; n < 2; ++n) {
        const std::int64_t column = (2 * pair + n) * kTileOuter;
        const float* from = sums + (tile * 2 + n) * kSums;
        for (std::int64_t i = 0; i < least(kTileOuter, product_.rows - row); ++i)
          finish(row + i, column, from + i * kTileOuter);
      }
    }
  }

  // Up to 16 sums of one row.
  void finish(std::int64_t row, std::int64_t column, const float* sums) {
    const std::int64_t count = least(kTileOuter, product_.columns - column);
    float* const out = product_.out + row * product_.out_stride + column;
    if (count == kTileOuter) {
      Vec value = simd::load(sums);
      if (product_.bias != nullptr)
        value += simd::load(product_.bias + column);
      simd::store(out, product_.adds ? value + simd::load(out) : value);
      return;
    }
    for (std::int64_t i = 0; i < count; ++i) {
      const float value = sums[i] + (product_.bias != nullptr ? product_.bias[column + i] : 0.0F);
      out[i] = product_.adds ? value + out[i] : value;
    }
  }

  const MatrixProduct& product_;
  const LeftBlock& block_;
  const TileScratch& scratch_;
};

template <bool kBrain>
void multiply_groups(const MatrixProduct& product, const LeftBlock& block,
                     const TileScratch& scratch, const InnerSpan& pairs) {
  BlockLoop<kBrain> loop(product, block, scratch);
  for (std::int64_t pair = pairs.begin; pair < pairs.end; pair += kGroupPairs)
    loop.group(pair, least(pair + kGroupPairs, pairs.end));
}

}  // namespace

void fill_left(const MatrixProduct& product, const LeftBlock& block, std::int64_t tile) {
  const std::int64_t parts = tile_parts(product);
  const std::int64_t stretch = stretch_tiles(product);
  const std::int64_t outer = block.first_row + tile * kTileOuter;
  for (std::int64_t step = 0; step < block.span.size(); ++step) {
    const std::int64_t inner = (block.span.begin + step) * kTileInner;
    const std::int64_t in_stretch = step % stretch;
    std::uint16_t* to =
        block.parts +
        ((step - in_stretch) * block.tiles + tile * stretch + in_stretch) * parts * kTileSize;
    const TilePlace place = {outer, inner, product.rows - outer, product.inner - inner};
    if (place.outer_count > 0)
      fill<false>(product, place, to, kTileSize);
    else
      std::memset(to, 0, sizeof(std::uint16_t) * static_cast<std::size_t>(parts * kTileSize));
  }
}

void multiply_block(const MatrixProduct& product, const LeftBlock& block,
                    const TileScratch& scratch, const InnerSpan& pairs) {
  configure_tiles(kTileOuter, kTileOuter);
  if (product.brain)
    multiply_groups<true>(product, block, scratch, pairs);
  else
    multiply_groups<false>(product, block, scratch, pairs);
  _tile_release();
}
#else
void fill_left(const MatrixProduct&, const LeftBlock&, std::int64_t) {}

void multiply_block(const MatrixProduct&, const LeftBlock&, const TileScratch&, const InnerSpan&) {}
#endif

}  // namespace dlm
