#include "harness/base/random.h"

#include <cmath>
#include <numbers>

namespace dlm {
namespace {

using Words = std::array<std::uint32_t, 4>;
using Key = std::array<std::uint32_t, 2>;

std::uint32_t low(std::uint64_t x) {
  return static_cast<std::uint32_t>(x);
}

std::uint32_t high(std::uint64_t x) {
  return static_cast<std::uint32_t>(x >> 32U);
}

Words philox_round(const Words& c, const Key& k) {
  const std::uint64_t product0 = std::uint64_t{0xD2511F53U} * c[0];
  const std::uint64_t product1 = std::uint64_t{0xCD9E8D57U} * c[2];
  return {high(product1) ^ c[1] ^ k[0], low(product1), high(product0) ^ c[3] ^ k[1], low(product0)};
}

// Two words as a double in [0, 1) with 53 bits.
double to_unit(std::uint32_t a, std::uint32_t b) {
  const std::uint64_t bits = (std::uint64_t{a} << 32U) | b;
  return static_cast<double>(bits >> 11U) * 0x1.0p-53;
}

}  // namespace

Words philox4x32_10(Words counter, Key key) {
  for (int round = 0; round < 10; ++round) {
    counter = philox_round(counter, key);
    key[0] += 0x9E3779B9U;
    key[1] += 0xBB67AE85U;
  }
  return counter;
}

RandomStream::RandomStream(std::uint64_t seed, Purpose purpose, std::uint64_t example,
                           std::uint64_t replicate) {
  // The stream's name is folded into a 64-bit key by two Philox applications: bijections of the
  // 128-bit block, so close names give unrelated keys.
  const Words inner = philox4x32_10({low(example), high(example), low(replicate), high(replicate)},
                                    {low(seed), high(seed)});
  const Words outer = philox4x32_10(inner, {static_cast<std::uint32_t>(purpose), 0x646C6DU});
  key_ = {outer[0] ^ outer[2], outer[1] ^ outer[3]};
}

Words RandomStream::words(std::uint64_t step, std::uint64_t position) const {
  return philox4x32_10({low(position), high(position), low(step), high(step)}, key_);
}

double RandomStream::uniform(std::uint64_t step, std::uint64_t position) const {
  const Words w = words(step, position);
  return to_unit(w[0], w[1]);
}

std::uint64_t RandomStream::below(std::uint64_t bound, std::uint64_t step,
                                  std::uint64_t position) const {
  const Words w = words(step, position);
  const std::uint64_t bits = (std::uint64_t{w[0]} << 32U) | w[1];
  __extension__ using Wide = unsigned __int128;
  return static_cast<std::uint64_t>((Wide{bits} * bound) >> 64U);
}

double RandomStream::normal(std::uint64_t step, std::uint64_t position) const {
  const Words w = words(step, position);
  const double radius = std::sqrt(-2.0 * std::log1p(-to_unit(w[0], w[1])));
  return radius * std::cos(2.0 * std::numbers::pi * to_unit(w[2], w[3]));
}

}  // namespace dlm
