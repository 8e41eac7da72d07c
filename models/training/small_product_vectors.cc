#include <cstddef>

#include "models/training/small_product.h"

#if defined(__x86_64__)
#pragma GCC target("avx512f,avx512bw,avx512dq,avx512vl,fma")
#endif

#include "models/transformer/simd.h"

namespace dlm {
namespace {

using simd::kLanes;
using simd::Vec;

// kR rows and kN vectors of sums in registers.
template <std::size_t kR, std::size_t kN, bool kAdds>
DLM_KERNEL_INLINE void tile(const SmallProduct& p, std::int64_t row, std::int64_t column) {
  constexpr auto rows = static_cast<std::int64_t>(kR);
  constexpr auto vectors = static_cast<std::int64_t>(kN);
  Vec sums[kR][kN];
  float* c = p.c + row * p.c_row + column;
  for (std::int64_t r = 0; r < rows; ++r) {
    for (std::int64_t n = 0; n < vectors; ++n)
      sums[r][n] = kAdds ? simd::load(c + r * p.c_row + n * kLanes) : Vec{};
  }
  const float* a = p.a + row * p.a_row;
  const float* b = p.b + column;
  for (std::int64_t i = 0; i < p.inner; ++i, a += p.a_inner, b += p.b_row) {
    Vec right[kN];
    for (std::int64_t n = 0; n < vectors; ++n) right[n] = simd::load(b + n * kLanes);
    for (std::int64_t r = 0; r < rows; ++r) {
      const Vec left = simd::splat(a[r * p.a_row]);
      for (std::int64_t n = 0; n < vectors; ++n) sums[r][n] += left * right[n];
    }
  }
  for (std::int64_t r = 0; r < rows; ++r) {
    for (std::int64_t n = 0; n < vectors; ++n)
      simd::store(c + r * p.c_row + n * kLanes, sums[r][n]);
  }
}

template <std::size_t kR, std::size_t kN, bool kAdds>
DLM_KERNEL_INLINE void strip(const SmallProduct& p, std::int64_t column) {
  constexpr auto most = static_cast<std::int64_t>(kR);
  std::int64_t row = 0;
  for (; row + most <= p.rows; row += most) tile<kR, kN, kAdds>(p, row, column);
  for (; row + 4 <= p.rows; row += 4) tile<4, kN, kAdds>(p, row, column);
  for (; row < p.rows; ++row) tile<1, kN, kAdds>(p, row, column);
}

template <bool kAdds>
DLM_KERNEL_INLINE void strips(const SmallProduct& p) {
  std::int64_t column = 0;
  for (; column + 4 * kLanes <= p.columns; column += 4 * kLanes) strip<6, 4, kAdds>(p, column);
  if (column + 2 * kLanes <= p.columns) {
    strip<12, 2, kAdds>(p, column);
    column += 2 * kLanes;
  }
  if (column < p.columns)
    strip<12, 1, kAdds>(p, column);
}

}  // namespace

void small_product_vectors(const SmallProduct& p) {
  if (p.adds)
    strips<true>(p);
  else
    strips<false>(p);
}

}  // namespace dlm
