// 16 floats at a time in plain C++, for the few loops that libtorch has no fused form of. Only the
// kernel files include this, and nothing of the standard library with code of its own: they are
// compiled for AVX-512 on x86-64, and run only where vector_kernels_work().
#pragma once

#include <cstdint>
#include <cstring>

namespace dlm::simd {

inline constexpr std::int64_t kLanes = 16;

using Vec = float __attribute__((vector_size(64)));
using VecInt = std::int32_t __attribute__((vector_size(64)));

// bfloat16 as libtorch lays it out: the upper half of a float.
using Brain = std::uint16_t;
using VecBrain = Brain __attribute__((vector_size(32)));
using VecWord = std::uint32_t __attribute__((vector_size(64)));

#define DLM_KERNEL_INLINE [[gnu::always_inline]] inline

constexpr std::int64_t least(std::int64_t a, std::int64_t b) {
  return a < b ? a : b;
}

// The same bits as another type.
template <class To, class From>
DLM_KERNEL_INLINE To as(From from) {
  static_assert(sizeof(To) == sizeof(From));
  To to;
  std::memcpy(&to, &from, sizeof to);
  return to;
}

DLM_KERNEL_INLINE Vec splat(float value) {
  return value - Vec{};
}

DLM_KERNEL_INLINE Vec load(const float* from) {
  Vec out;
  std::memcpy(&out, from, sizeof out);
  return out;
}

DLM_KERNEL_INLINE void store(float* to, Vec value) {
  std::memcpy(to, &value, sizeof value);
}

DLM_KERNEL_INLINE Vec load(const Brain* from) {
  VecBrain half;
  std::memcpy(&half, from, sizeof half);
  const VecWord word = __builtin_convertvector(half, VecWord) << 16;
  Vec out;
  std::memcpy(&out, &word, sizeof out);
  return out;
}

// To the nearest, ties to even; values are finite.
DLM_KERNEL_INLINE void store(Brain* to, Vec value) {
  VecWord word;
  std::memcpy(&word, &value, sizeof word);
  word += 0x7FFFu + ((word >> 16) & 1u);
  const VecBrain half = __builtin_convertvector(word >> 16, VecBrain);
  std::memcpy(to, &half, sizeof half);
}

DLM_KERNEL_INLINE float widened(float value) {
  return value;
}

DLM_KERNEL_INLINE float widened(Brain value) {
  const std::uint32_t word = std::uint32_t{value} << 16;
  float out;
  std::memcpy(&out, &word, sizeof out);
  return out;
}

DLM_KERNEL_INLINE void narrowed(float* to, float value) {
  *to = value;
}

DLM_KERNEL_INLINE void narrowed(Brain* to, float value) {
  std::uint32_t word;
  std::memcpy(&word, &value, sizeof word);
  word += 0x7FFFu + ((word >> 16) & 1u);
  *to = static_cast<Brain>(word >> 16);
}

DLM_KERNEL_INLINE Vec larger(Vec a, Vec b) {
  return a > b ? a : b;
}

DLM_KERNEL_INLINE float sum(Vec v) {
  float lanes[kLanes];
  store(lanes, v);
  for (std::int64_t half = kLanes / 2; half > 0; half /= 2) {
    for (std::int64_t i = 0; i < half; ++i) lanes[i] += lanes[i + half];
  }
  return lanes[0];
}

DLM_KERNEL_INLINE float largest(Vec v) {
  float lanes[kLanes];
  store(lanes, v);
  for (std::int64_t half = kLanes / 2; half > 0; half /= 2) {
    for (std::int64_t i = 0; i < half; ++i)
      lanes[i] = lanes[i] > lanes[i + half] ? lanes[i] : lanes[i + half];
  }
  return lanes[0];
}

// 2^x for x <= 0, relative error below 2e-7; 2^-126 where x is below -126; NaN for NaN. The
// polynomial is the minimax one of 2^r on [-1/2, 1/2].
DLM_KERNEL_INLINE Vec exp2_negative(Vec x) {
  // Adding 1.5 * 2^23 leaves the rounded value in the low bits.
  const Vec magic = splat(12582912.0F);
  x = x < -126.0F ? splat(-126.0F) : x;
  const Vec shifted = x + magic;
  const Vec r = x - (shifted - magic);
  Vec p = r * 1.327647012e-3F + 9.675541320e-3F;
  p = p * r + 5.550713279e-2F;
  p = p * r + 2.402211972e-1F;
  p = p * r + 6.931469671e-1F;
  p = p * r + 1.0F;
  VecInt bits;
  VecInt exponent;
  std::memcpy(&bits, &p, sizeof bits);
  std::memcpy(&exponent, &shifted, sizeof exponent);
  bits += exponent << 23;
  std::memcpy(&p, &bits, sizeof p);
  return p;
}

// `value` where first <= base + lane < last, `other` elsewhere.
DLM_KERNEL_INLINE Vec between(Vec value, std::int32_t base, std::int32_t first, std::int32_t last,
                              float other) {
  const VecInt lane = base + VecInt{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
  return (lane >= first) & (lane < last) ? value : splat(other);
}

template <int kStep>
DLM_KERNEL_INLINE void exchange(Vec& a, Vec& b) {
  VecInt low{};
  VecInt high{};
  for (int lane = 0; lane < kLanes; ++lane) {
    const bool odd = (lane & kStep) != 0;
    low[lane] = odd ? kLanes + lane - kStep : lane;
    high[lane] = odd ? kLanes + lane : lane + kStep;
  }
  const Vec first = __builtin_shuffle(a, b, low);
  b = __builtin_shuffle(a, b, high);
  a = first;
}

template <int kStep>
DLM_KERNEL_INLINE void exchange_all(Vec (&rows)[kLanes]) {
  for (int row = 0; row < kLanes; ++row) {
    if ((row & kStep) == 0)
      exchange<kStep>(rows[row], rows[row + kStep]);
  }
}

// rows[i][j] -> rows[j][i].
DLM_KERNEL_INLINE void transpose(Vec (&rows)[kLanes]) {
  exchange_all<8>(rows);
  exchange_all<4>(rows);
  exchange_all<2>(rows);
  exchange_all<1>(rows);
}

}  // namespace dlm::simd
