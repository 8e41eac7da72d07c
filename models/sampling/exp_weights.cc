#include "models/sampling/exp_weights.h"

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <limits>
#include <numbers>

#include "harness/base/error.h"

namespace dlm {
namespace {

// Adding it rounds a double below 2^51 to a whole number, found in its lowest bits.
constexpr double kRounder = 0x1.8p52;
// ln 2 in two parts; the first has zeros at its end, so that its multiples are exact.
constexpr double kLn2High = 0x1.62e42fefa0000p-1;
constexpr double kLn2Low = 0x1.cf79abc9e3b3ap-40;

constexpr std::size_t kLanes = 8;
using Doubles = double __attribute__((vector_size(kLanes * sizeof(double))));
using Words = std::uint64_t __attribute__((vector_size(kLanes * sizeof(double))));
using Floats = float __attribute__((vector_size(kLanes * sizeof(float))));

// exp(x) = 2^n exp(r), |r| <= ln 2 / 2, and exp(r) by its series to r^12 / 12!. Of eight x.
[[gnu::always_inline]] inline void exp_of(Doubles& x) {
  const Doubles shifted = x * std::numbers::log2e + kRounder;
  const Doubles n = shifted - kRounder;
  const Doubles r = (x - n * kLn2High) - n * kLn2Low;
  Doubles sum = Doubles{} + 1.0 / 479001600;
  sum = sum * r + 1.0 / 39916800;
  sum = sum * r + 1.0 / 3628800;
  sum = sum * r + 1.0 / 362880;
  sum = sum * r + 1.0 / 40320;
  sum = sum * r + 1.0 / 5040;
  sum = sum * r + 1.0 / 720;
  sum = sum * r + 1.0 / 120;
  sum = sum * r + 1.0 / 24;
  sum = sum * r + 1.0 / 6;
  sum = sum * r + 0.5;
  sum = sum * r + 1;
  sum = sum * r + 1;
  Words power;
  std::memcpy(&power, &shifted, sizeof power);
  power = (power + 1023U) << 52U;
  Doubles scale;
  std::memcpy(&scale, &power, sizeof scale);
  x = x < -700 ? Doubles{} : sum * scale;
}

}  // namespace

// Eight sums side by side: the same at any vector width.
__attribute__((target_clones("avx512f", "avx2", "default"))) double exp_weights(
    std::span<const float> logits, double largest, double temperature, std::span<double> out) {
  DLM_CHECK(logits.size() == out.size(), "{} logits, {} weights", logits.size(), out.size());
  const double scale = 1 / temperature;
  Doubles sums{};
  for (std::size_t i = 0; i < logits.size(); i += kLanes) {
    const std::size_t count = std::min(kLanes, logits.size() - i);
    Floats in = Floats{} - std::numeric_limits<float>::infinity();
    if (count == kLanes)
      std::memcpy(&in, logits.data() + i, sizeof in);
    else
      std::memcpy(&in, logits.data() + i, count * sizeof(float));
    Doubles weights = (__builtin_convertvector(in, Doubles) - largest) * scale;
    exp_of(weights);
    sums += weights;
    if (count == kLanes)
      std::memcpy(out.data() + i, &weights, sizeof weights);
    else
      std::memcpy(out.data() + i, &weights, count * sizeof(double));
  }
  double total = 0;
  for (std::size_t lane = 0; lane < kLanes; ++lane) total += sums[lane];
  return total;
}

}  // namespace dlm
