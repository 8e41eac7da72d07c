#include "models/sampling/exp_weights.h"

#include <array>
#include <bit>
#include <cstdint>
#include <numbers>

#include "harness/base/error.h"

namespace dlm {
namespace {

// Adding it rounds a double below 2^51 to a whole number, found in its lowest bits.
constexpr double kRounder = 0x1.8p52;
// ln 2 in two parts; the first has zeros at its end, so that its multiples are exact.
constexpr double kLn2High = 0x1.62e42fefa0000p-1;
constexpr double kLn2Low = 0x1.cf79abc9e3b3ap-40;

// exp(x) = 2^n exp(r), |r| <= ln 2 / 2, and exp(r) by its series to r^12 / 12!.
inline double exp_of(double x) {
  const double shifted = x * std::numbers::log2e + kRounder;
  const double n = shifted - kRounder;
  const double r = (x - n * kLn2High) - n * kLn2Low;
  double sum = 1.0 / 479001600;
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
  const auto power = (std::bit_cast<std::uint64_t>(shifted) + 1023U) << 52U;
  return x < -700 ? 0 : sum * std::bit_cast<double>(power);
}

}  // namespace

// Eight sums side by side: the same at any vector width.
__attribute__((target_clones("avx512f", "avx2", "default"))) double exp_weights(
    std::span<const float> logits, double largest, double temperature, std::span<double> out) {
  DLM_CHECK(logits.size() == out.size(), "{} logits, {} weights", logits.size(), out.size());
  const double scale = 1 / temperature;
  std::array<double, 8> sums{};
  const std::size_t whole = logits.size() / sums.size() * sums.size();
  const float* in = logits.data();
  double* to = out.data();
  for (std::size_t i = 0; i < whole; i += sums.size()) {
    for (std::size_t lane = 0; lane < sums.size(); ++lane) {
      to[i + lane] = exp_of((static_cast<double>(in[i + lane]) - largest) * scale);
      sums[lane] += to[i + lane];
    }
  }
  for (std::size_t i = whole; i < logits.size(); ++i) {
    to[i] = exp_of((static_cast<double>(in[i]) - largest) * scale);
    sums[i - whole] += to[i];
  }
  double total = 0;
  for (const double sum : sums) total += sum;
  return total;
}

}  // namespace dlm
