#include "models/diffusion/mask_count.h"

#include <algorithm>
#include <cmath>

#include "harness/base/error.h"
#include "harness/base/stats.h"

namespace dlm {
namespace {

// Probability of k of n tokens being masked at level t.
double binomial(std::int64_t n, std::int64_t k, double t) {
  if (t <= 0 || t >= 1)
    return k == (t >= 1 ? n : 0) ? 1 : 0;
  return std::exp(log_choose(n, k) + static_cast<double>(k) * std::log(t) +
                  static_cast<double>(n - k) * std::log1p(-t));
}

double beta_mass(double a, double b, double low, double high) {
  return incomplete_beta(a, b, high) - incomplete_beta(a, b, low);
}

// The mean over the interval of k P(k tokens masked at t) / t, or without the division.
double count_mass(std::int64_t n, std::int64_t k, double low, double high) {
  const auto size = static_cast<double>(n);
  const auto count = static_cast<double>(k);
  if (published_weight(low) == LossWeight::kInverseLevel)
    return low == high ? count * binomial(n, k, low) / low
                       : beta_mass(count, size - count + 1, low, high) / (high - low);
  if (low == high)
    return count * binomial(n, k, low);
  return count * beta_mass(count + 1, size - count + 1, low, high) / ((size + 1) * (high - low));
}

}  // namespace

LossWeight published_weight(double t_min) {
  return t_min > 0.5 ? LossWeight::kOne : LossWeight::kInverseLevel;
}

MaskCountLaw mask_count_law(std::int64_t n, double t_min, double t_max) {
  DLM_CHECK(n >= 1 && t_min >= 0 && t_min <= t_max && t_max <= 1 && t_max > 0,
            "n {}, interval [{}, {}]", n, t_min, t_max);
  MaskCountLaw law;
  double total = 0;
  const bool is_whole = t_min == 0 && t_max == 1;
  for (std::int64_t k = 1; k <= n; ++k) {
    law.probability.push_back(is_whole ? 1 : count_mass(n, k, t_min, t_max));
    total += law.probability.back();
  }
  for (double& p : law.probability) p /= total;
  // The sum of the masses is n (1 / t weights) or the mean count, in closed form.
  const double scale = published_weight(t_min) == LossWeight::kInverseLevel
                           ? static_cast<double>(n)
                           : static_cast<double>(n) * 0.5 * (t_min + t_max);
  for (std::int64_t k = 1; k <= n; ++k) law.weight.push_back(scale / static_cast<double>(k));
  return law;
}

std::int64_t mask_count_at(const MaskCountLaw& law, double u) {
  double below = 0;
  for (std::size_t k = 0; k + 1 < law.probability.size(); ++k) {
    below += law.probability[k];
    if (u < below)
      return static_cast<std::int64_t>(k) + 1;
  }
  return std::ssize(law.probability);
}

double log_choose(std::int64_t n, std::int64_t k) {
  const auto a = static_cast<double>(n);
  const auto b = static_cast<double>(k);
  return std::lgamma(a + 1) - std::lgamma(b + 1) - std::lgamma(a - b + 1);
}

}  // namespace dlm
