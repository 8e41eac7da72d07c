// The loops of matrix_product.h for one thread, on tiles: what the matrix unit multiplies at once.
// Torch-free.
#pragma once

#include <cstdint>

#include "models/training/matrix_product.h"

namespace dlm {

inline constexpr std::int64_t kTileOuter = 16;
inline constexpr std::int64_t kTileInner = 32;
inline constexpr std::int64_t kTileSize = kTileOuter * kTileInner;  // bf16

// Inner tiles [begin, end) of a product.
struct InnerSpan {
  std::int64_t begin = 0, end = 0;

  std::int64_t size() const { return end - begin; }
};

constexpr std::int64_t tile_parts(const MatrixProduct& product) {
  return product.brain ? 1 : 3;
}

inline constexpr std::int64_t kRightTiles =
    24;  // of 32 columns, that stay in a core's nearest cache

// Inner tiles that are multiplied before the next ones are looked at.
constexpr std::int64_t stretch_tiles(const MatrixProduct& product) {
  return kRightTiles / (2 * tile_parts(product));
}

// Left rows of a block, [stretch][tile of rows][inner tile of the stretch][part][16][32]: what is
// multiplied by one pair of columns lies in a row, which the processor reads ahead.
struct LeftBlock {
  std::int64_t first_row = 0;
  std::int64_t tiles = 0;  // even; rows beyond the matrix are zeros
  InnerSpan span;
  std::uint16_t* parts = nullptr;  // left_size() of them, aligned to 64
};

constexpr std::int64_t left_size(const MatrixProduct& product, std::int64_t tiles,
                                 std::int64_t inner_tiles) {
  const std::int64_t stretch = stretch_tiles(product);
  return (inner_tiles + stretch - 1) / stretch * stretch * tiles * tile_parts(product) * kTileSize;
}

// Tile `tile` of the block, taken apart.
void fill_left(const MatrixProduct& product, const LeftBlock& block, std::int64_t tile);

// Memory of one thread, both aligned to 64.
struct TileScratch {
  float* sums = nullptr;           // sums_size(block.tiles)
  std::uint16_t* right = nullptr;  // kRightTiles * kTileSize
};

inline constexpr std::int64_t kGroupPairs = 6;  // of 32 columns, whose sums stay in a core's cache

constexpr std::int64_t sums_size(std::int64_t tiles) {
  return kGroupPairs * tiles * 2 * kTileOuter * kTileOuter;
}

// The block's rows of the product for columns [32 begin, 32 end), after every tile was filled.
void multiply_block(const MatrixProduct& product, const LeftBlock& block,
                    const TileScratch& scratch, const InnerSpan& pairs);

}  // namespace dlm
