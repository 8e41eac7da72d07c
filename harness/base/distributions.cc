#include <cmath>
#include <limits>
#include <numbers>

#include "harness/base/error.h"
#include "harness/base/stats.h"

namespace dlm {
namespace {

void check_probability(double p) {
  if (!(p >= 1e-100 && p <= 1 - 1e-16))
    throw ConfigError("probability", fmt::format("{}", p), "a number inside (0, 1)");
}

void check_positive(std::string_view field, double value) {
  if (!(value > 0) || !std::isfinite(value))
    throw ConfigError(field, fmt::format("{}", value), "a number above 0");
}

// log Gamma(a) minus the leading terms of Stirling's formula; a >= 10, error below 1e-16.
double stirling_correction(double a) {
  const double r = 1 / (a * a);
  return (1.0 / 12 - r * (1.0 / 360 - r * (1.0 / 1260 - r * (1.0 / 1680 - r / 1188)))) / a;
}

// log B(a, b). For a large argument the difference of two log-gammas would lose the digits that
// matter, so it is taken analytically.
double log_beta(double a, double b) {
  if (a < b)
    std::swap(a, b);
  if (a < 10)
    return std::lgamma(a) + std::lgamma(b) - std::lgamma(a + b);
  const double rise = b * std::log(a) + (a + b - 0.5) * std::log1p(b / a) - b +
                      stirling_correction(a + b) - stirling_correction(a);
  return std::lgamma(b) - rise;
}

// The continued fraction of A&S 26.5.8 by the modified Lentz method; converges fast for
// x < (a + 1) / (a + b + 2).
double beta_fraction(double a, double b, double x) {
  constexpr double kTiny = 1e-300;
  const auto away_from_zero = [](double v) { return std::abs(v) < kTiny ? kTiny : v; };
  double c = 1;
  double d = 1 / away_from_zero(1 - (a + b) * x / (a + 1));
  double value = d;
  for (int m = 1; m <= 1'000'000; ++m) {
    const double even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m));
    d = 1 / away_from_zero(1 + even * d);
    c = away_from_zero(1 + even / c);
    value *= c * d;
    const double odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1));
    d = 1 / away_from_zero(1 + odd * d);
    c = away_from_zero(1 + odd / c);
    value *= c * d;
    if (std::abs(c * d - 1) < std::numeric_limits<double>::epsilon())
      return value;
  }
  DLM_CHECK(false, "incomplete beta did not converge: a {} b {} x {}", a, b, x);
  return value;
}

// I_x(a, b) given x and 1 - x, each to full relative precision.
double incomplete_beta_of(double a, double b, double x, double one_minus_x) {
  if (x <= 0)
    return 0;
  if (one_minus_x <= 0)
    return 1;
  const double log_x = x < 0.5 ? std::log(x) : std::log1p(-one_minus_x);
  const double log_1mx = x < 0.5 ? std::log1p(-x) : std::log(one_minus_x);
  const double front = std::exp(a * log_x + b * log_1mx - log_beta(a, b));
  if (x < (a + 1) / (a + b + 2))
    return front * beta_fraction(a, b, x) / a;
  return 1 - front * beta_fraction(b, a, one_minus_x) / b;
}

// The root of an increasing `cdf` at p < 1/2, below 0.
template <class Cdf>
double lower_quantile(double p, const Cdf& cdf) {
  double low = -1;
  while (cdf(low) > p) low *= 2;
  double high = 0;
  while (true) {
    const double middle = 0.5 * (low + high);
    if (middle <= low || middle >= high || high - low <= 1e-15 * -low)
      return middle;
    (cdf(middle) < p ? low : high) = middle;
  }
}

template <class Cdf>
double symmetric_quantile(double p, const Cdf& cdf) {
  check_probability(p);
  if (p == 0.5)
    return 0;
  return p < 0.5 ? lower_quantile(p, cdf) : -lower_quantile(1 - p, cdf);
}

}  // namespace

double normal_cdf(double x) {
  return 0.5 * std::erfc(-x / std::numbers::sqrt2);
}

double normal_quantile(double p) {
  return symmetric_quantile(p, normal_cdf);
}

double incomplete_beta(double a, double b, double x) {
  check_positive("a", a);
  check_positive("b", b);
  if (!(x >= 0 && x <= 1))
    throw ConfigError("x", fmt::format("{}", x), "a number in [0, 1]");
  return incomplete_beta_of(a, b, x, 1 - x);
}

double student_t_cdf(double t, double degrees) {
  check_positive("degrees", degrees);
  const double r = t * t / degrees;
  const double outside = incomplete_beta_of(0.5 * degrees, 0.5, 1 / (1 + r), 1 / (1 + 1 / r));
  return t > 0 ? 1 - 0.5 * outside : 0.5 * outside;
}

double student_t_quantile(double p, double degrees) {
  check_positive("degrees", degrees);
  return symmetric_quantile(p, [&](double t) { return student_t_cdf(t, degrees); });
}

}  // namespace dlm
