// Keys or values of new positions put where a cache holds them, by one loop on the CPU: a step of a
// small batch stores little, and a chain of views and copies takes longer than the bytes do.
#pragma once

#include <cstdint>
#include <span>

#include <ATen/core/Tensor.h>

namespace dlm {

// Positions [offset, offset + count) of what is stored go to places [place, place + count) of a
// row.
struct HeadPlaces {
  std::int64_t row = 0;
  std::int64_t place = 0;
  std::int64_t offset = 0;
  std::int64_t count = 0;
};

// `cache` is (rows, H, places, D), contiguous, and `from` (N, H, D), each head's D values
// contiguous, of the same dtype; both on one device.
void store_heads(const at::Tensor& cache, const at::Tensor& from,
                 std::span<const HeadPlaces> places);

}  // namespace dlm
