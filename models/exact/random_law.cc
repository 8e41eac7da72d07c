#include "models/exact/random_law.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "harness/base/error.h"
#include "harness/base/file.h"

namespace dlm {
namespace {

constexpr double kSmallestLogRatio = -600;
constexpr double kSumTolerance = 1e-9;

// log of a gamma variable of shape `shape` > 0 and scale 1: that of shape + 1 times U^(1/shape),
// which holds for every shape and leaves Marsaglia and Tsang's method its range, shape >= 1.
double log_gamma_draw(const RandomStream& stream, std::uint64_t cell, double shape) {
  const double d = shape + 1.0 - 1.0 / 3.0;
  const double c = 1.0 / std::sqrt(9.0 * d);
  const double log_boost = std::log1p(-stream.uniform(cell, 0)) / shape;
  for (std::uint64_t position = 1;; position += 2) {
    const double x = stream.normal(cell, position);
    const double root = 1.0 + c * x;
    if (root <= 0)
      continue;
    const double v = root * root * root;
    const double log_u = std::log1p(-stream.uniform(cell, position + 1));
    if (log_u < 0.5 * x * x + d - d * v + d * std::log(v))
      return std::log(d * v) + log_boost;
  }
}

}  // namespace

void check_concentration(double concentration) {
  if (!(concentration >= 1e-3 && concentration <= 1e6))
    throw ConfigError("concentration", fmt::to_string(concentration), "a number in [1e-3, 1e6]");
}

std::vector<double> draw_dirichlet(const RandomStream& stream, std::uint64_t first_cell,
                                   std::size_t size, double concentration) {
  DLM_CHECK(concentration > 0 && size > 0, "concentration {}, {} cells", concentration, size);
  std::vector<double> law(size);
  for (std::size_t i = 0; i < size; ++i)
    law[i] = log_gamma_draw(stream, first_cell + i, concentration);
  const double largest = *std::max_element(law.begin(), law.end());
  for (double& p : law) p = std::exp(std::max(p - largest, kSmallestLogRatio));
  const double total = std::accumulate(law.begin(), law.end(), 0.0);
  for (double& p : law) p /= total;
  return law;
}

void check_and_normalise(std::string_view field, std::span<double> probabilities) {
  for (double p : probabilities) {
    if (!(p >= 0) || std::isinf(p))
      throw ConfigError(field, fmt::to_string(p), "probabilities, finite and >= 0");
  }
  const double total = std::accumulate(probabilities.begin(), probabilities.end(), 0.0);
  if (!(std::abs(total - 1) <= kSumTolerance))
    throw ConfigError(field, fmt::format("sum {}", total), "probabilities that sum to 1");
  for (double& p : probabilities) p /= total;
}

double entropy_of(std::span<const double> probabilities) {
  double entropy = 0;
  for (double p : probabilities) {
    if (p > 0)
      entropy -= p * std::log(p);
  }
  return entropy;
}

std::string digest_of(std::span<const double> values) {
  return sha256_hex(std::as_bytes(values)).substr(0, 16);
}

}  // namespace dlm
