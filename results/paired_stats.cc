#include "results/paired_stats.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "harness/base/error.h"
#include "harness/base/random.h"

namespace dlm {
namespace {

constexpr double kLargestCount = 9e18;

PairedUnit checked_total(std::span<const PairedUnit> units) {
  if (units.empty())
    throw ConfigError("units", "none", "at least one: nothing was measured by both");
  PairedUnit total;
  for (const PairedUnit& unit : units) {
    if (!(unit.x_a >= 0) || !(unit.x_b >= 0))
      throw ConfigError("denominator", fmt::format("{}", std::min(unit.x_a, unit.x_b)),
                        "0 or more");
    total.y_a += unit.y_a;
    total.x_a += unit.x_a;
    total.y_b += unit.y_b;
    total.x_b += unit.x_b;
  }
  if (!(total.x_a > 0) || !(total.x_b > 0))
    throw ConfigError("denominator", fmt::format("a sum of {}", std::min(total.x_a, total.x_b)),
                      "a sum above 0: nothing was measured");
  return total;
}

void check_open_unit(const char* field, double value) {
  if (!(value > 0 && value < 1))
    throw ConfigError(field, fmt::format("{}", value), "a number inside (0, 1)");
}

void check_margin(double margin) {
  if (!(margin > 0) || !std::isfinite(margin))
    throw ConfigError("margin", fmt::format("{}", margin), "a number above 0");
}

double resampled_difference(std::span<const PairedUnit> units, const RandomStream& stream) {
  for (std::uint64_t attempt = 0;; ++attempt) {
    PairedUnit total;
    for (std::size_t j = 0; j < units.size(); ++j) {
      const PairedUnit& unit = units[stream.below(units.size(), attempt, j)];
      total.y_a += unit.y_a;
      total.x_a += unit.x_a;
      total.y_b += unit.y_b;
      total.x_b += unit.x_b;
    }
    if (total.x_a > 0 && total.x_b > 0)
      return total.y_b / total.x_b - total.y_a / total.x_a;
  }
}

}  // namespace

PairedDifference paired_difference(std::span<const PairedUnit> units) {
  const PairedUnit total = checked_total(units);
  PairedDifference result;
  result.a = total.y_a / total.x_a;
  result.b = total.y_b / total.x_b;
  const auto m = static_cast<std::int64_t>(units.size());
  result.difference = {result.b - result.a, std::nullopt, m, m - 1};
  double ss_a = 0, ss_b = 0, ss_ab = 0, ss_d = 0;
  for (const PairedUnit& unit : units) {
    const double r_a = (unit.y_a - result.a * unit.x_a) / total.x_a;
    const double r_b = (unit.y_b - result.b * unit.x_b) / total.x_b;
    ss_a += r_a * r_a;
    ss_b += r_b * r_b;
    ss_ab += r_a * r_b;
    ss_d += (r_b - r_a) * (r_b - r_a);
  }
  if (m < 2)
    return result;
  const auto count = static_cast<double>(m);
  result.difference.std_error = std::sqrt(count / (count - 1) * ss_d);
  if (ss_a > 0 && ss_b > 0)
    result.correlation = std::clamp(ss_ab / std::sqrt(ss_a * ss_b), -1.0, 1.0);
  return result;
}

std::optional<double> t_test_p(const MeanEstimate& difference) {
  if (!difference.std_error)
    return std::nullopt;
  if (*difference.std_error == 0)
    return difference.value == 0 ? 1.0 : 0.0;
  const double t = std::abs(difference.value) / *difference.std_error;
  return 2 * student_t_cdf(-t, static_cast<double>(difference.degrees));
}

Interval paired_bootstrap(std::span<const PairedUnit> units, std::int64_t draws, std::uint64_t seed,
                          double level) {
  check_open_unit("level", level);
  checked_total(units);
  if (draws < 1)
    throw ConfigError("draws", fmt::format("{}", draws), "1 or more");
  if (units.size() < 2)
    throw ConfigError("units", "1", "at least two to resample");
  std::vector<double> values(static_cast<std::size_t>(draws));
#pragma omp parallel for schedule(static)
  for (std::size_t draw = 0; draw < values.size(); ++draw)
    values[draw] = resampled_difference(units, RandomStream(seed, Purpose::kBootstrap, draw));
  return {quantile(values, 0.5 - 0.5 * level), quantile(values, 0.5 + 0.5 * level)};
}

double mcnemar_p(std::int64_t only_a, std::int64_t only_b) {
  if (only_a < 0 || only_b < 0)
    throw ConfigError("discordant pairs", fmt::format("{} and {}", only_a, only_b), "0 or more");
  if (only_a == only_b)
    return 1;
  const auto few = static_cast<double>(std::min(only_a, only_b));
  const auto n = static_cast<double>(only_a + only_b);
  // P(X <= k) of a binomial(n, p) is I_{1-p}(n - k, k + 1).
  return std::min(1.0, 2 * incomplete_beta(n - few, few + 1, 0.5));
}

Interval paired_proportions_interval(const PairedCounts& counts, double level) {
  check_open_unit("level", level);
  const std::int64_t n = counts.both + counts.only_a + counts.only_b + counts.neither;
  if (n < 1)
    throw ConfigError("documents", "0", "at least one");
  const double adjusted_n = static_cast<double>(n) + 2;
  const double a = static_cast<double>(counts.only_a) + 0.5;
  const double b = static_cast<double>(counts.only_b) + 0.5;
  const double difference = (b - a) / adjusted_n;
  const double std_error = std::sqrt((a + b) - (b - a) * (b - a) / adjusted_n) / adjusted_n;
  const double half = normal_quantile(0.5 + 0.5 * level) * std_error;
  return {std::max(-1.0, difference - half), std::min(1.0, difference + half)};
}

std::vector<double> holm_adjusted(std::span<const double> p_values) {
  std::vector<std::size_t> order(p_values.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](std::size_t i, std::size_t j) { return p_values[i] < p_values[j]; });
  std::vector<double> adjusted(p_values.size());
  double largest = 0;
  for (std::size_t rank = 0; rank < order.size(); ++rank) {
    const auto left = static_cast<double>(order.size() - rank);
    largest = std::max(largest, std::min(1.0, left * p_values[order[rank]]));
    adjusted[order[rank]] = largest;
  }
  return adjusted;
}

std::int64_t needed_units(double unit_sd, double margin, double power, double alpha) {
  check_margin(margin);
  check_open_unit("power", power);
  check_open_unit("alpha", alpha);
  const double to_differ = normal_quantile(1 - alpha / 2) + normal_quantile(power);
  const double to_equal = normal_quantile(1 - alpha) + normal_quantile(0.5 + power / 2);
  const double ratio = std::max(to_differ, to_equal) * unit_sd / margin;
  return static_cast<std::int64_t>(
      std::min(kLargestCount, std::max(2.0, std::ceil(ratio * ratio))));
}

}  // namespace dlm
