// What the kernel files of the matrix unit share. Only they include it, on x86-64, behind
// <immintrin.h> and compiled for the unit's instructions.
#pragma once

#include "models/transformer/simd.h"

namespace dlm::simd {

// Upper halves of a and b, those of one lane side by side: a pair of bf16 as the unit reads it.
DLM_KERNEL_INLINE VecWord paired(Vec a, Vec b) {
  return as<VecWord>(a) >> 16 | (as<VecWord>(b) & 0xFFFF0000U);
}

// The tile instructions are opaque to the compiler: what they read must have been written.
DLM_KERNEL_INLINE void before_tiles_read(const void* memory) {
  asm volatile("" : : "r"(memory) : "memory");
}

struct TileConfig {
  std::uint8_t palette = 1;
  std::uint8_t start = 0;
  std::uint8_t reserved[14] = {};
  std::uint16_t bytes_per_row[16] = {};
  std::uint8_t rows[16] = {};
};

// Tiles 0 to 3 hold sums, 4 and 5 left rows, 6 and 7 columns: 64 bytes a row, `left` rows in the
// first six, `right` in the others. Fewer rows than a tile has cost less.
DLM_KERNEL_INLINE void configure_tiles(std::int64_t left, std::int64_t right) {
  TileConfig config;
  for (int tile = 0; tile < 8; ++tile) {
    config.bytes_per_row[tile] = 64;
    config.rows[tile] = static_cast<std::uint8_t>(tile < 6 ? left : right);
  }
  before_tiles_read(&config);
  _tile_loadconfig(&config);
}

}  // namespace dlm::simd
