// Numbers in f32 or bf16 memory, and powers of two, for the loops of this folder that the compiler
// makes vectors of. Torch-free.
#pragma once

#include <bit>
#include <cstdint>

namespace dlm {

using Brain = std::uint16_t;  // bfloat16 as libtorch lays it out

#define DLM_INLINE [[gnu::always_inline]] inline

DLM_INLINE float wide(float value) {
  return value;
}

DLM_INLINE float wide(Brain value) {
  return std::bit_cast<float>(std::uint32_t{value} << 16U);
}

DLM_INLINE void put(float& to, float value) {
  to = value;
}

// To the nearest, ties to even.
DLM_INLINE void put(Brain& to, float value) {
  std::uint32_t word = std::bit_cast<std::uint32_t>(value);
  word += 0x7FFFU + ((word >> 16U) & 1U);
  to = static_cast<Brain>(word >> 16U);
}

// 2^x, relative error below 2e-7, for x up to about 127; 2^-126 where x is less.
DLM_INLINE float exp2_of(float x) {
  x = x < -126.0F ? -126.0F : x;
  const auto whole = static_cast<std::int32_t>(x + (x < 0 ? -0.5F : 0.5F));
  const float r = x - static_cast<float>(whole);
  float p = r * 1.327647012e-3F + 9.675541320e-3F;
  p = p * r + 5.550713279e-2F;
  p = p * r + 2.402211972e-1F;
  p = p * r + 6.931469671e-1F;
  p = p * r + 1.0F;
  return std::bit_cast<float>(std::bit_cast<std::int32_t>(p) + (whole << 23));
}

}  // namespace dlm
