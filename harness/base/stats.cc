#include "harness/base/stats.h"

#include <algorithm>
#include <cmath>
#include <map>

#include "harness/base/error.h"
#include "harness/base/random.h"

namespace dlm {
namespace {

void check_level(double level) {
  if (!(level > 0 && level < 1))
    throw ConfigError("level", fmt::format("{}", level), "a number inside (0, 1)");
}

struct Sums {
  double numerator = 0;
  double denominator = 0;
};

// The sum of (y, x) over units; throws where no ratio is defined.
Sums checked_sums(std::span<const double> numerators, std::span<const double> denominators) {
  DLM_CHECK(numerators.size() == denominators.size(), "{} numerators for {} denominators",
            numerators.size(), denominators.size());
  Sums total;
  for (std::size_t i = 0; i < numerators.size(); ++i) {
    if (!(denominators[i] >= 0))
      throw ConfigError("denominator", fmt::format("{}", denominators[i]), "0 or more");
    total.numerator += numerators[i];
    total.denominator += denominators[i];
  }
  if (!(total.denominator > 0))
    throw ConfigError("denominator", fmt::format("a sum of {}", total.denominator),
                      "a sum above 0: nothing was measured");
  return total;
}

// sqrt(n/(n-1) * residual_ss) / sum_x: Cochran eq. 6.13 without finite-population correction.
std::optional<double> ratio_std_error(double residual_ss, double sum_x, std::int64_t n) {
  if (n < 2)
    return std::nullopt;
  const auto count = static_cast<double>(n);
  return std::sqrt(count / (count - 1) * std::max(0.0, residual_ss)) / sum_x;
}

// Sums per cluster, in the order of the clusters' numbers.
std::vector<Sums> cluster_sums(std::span<const double> numerators,
                               std::span<const double> denominators,
                               std::span<const std::int64_t> clusters) {
  DLM_CHECK(numerators.size() == clusters.size(), "{} units for {} cluster numbers",
            numerators.size(), clusters.size());
  std::map<std::int64_t, Sums> by_number;
  for (std::size_t i = 0; i < clusters.size(); ++i) {
    Sums& sums = by_number[clusters[i]];
    sums.numerator += numerators[i];
    sums.denominator += denominators[i];
  }
  std::vector<Sums> sums;
  sums.reserve(by_number.size());
  for (const auto& [number, of_cluster] : by_number) sums.push_back(of_cluster);
  return sums;
}

MeanEstimate ratio_of(std::span<const Sums> units, const Sums& total) {
  const double ratio = total.numerator / total.denominator;
  double residual_ss = 0;
  for (const Sums& unit : units) {
    const double residual = unit.numerator - ratio * unit.denominator;
    residual_ss += residual * residual;
  }
  const auto n = static_cast<std::int64_t>(units.size());
  return {ratio, ratio_std_error(residual_ss, total.denominator, n), n, n - 1};
}

double resampled_ratio(std::span<const Sums> units, const RandomStream& stream) {
  for (std::uint64_t attempt = 0;; ++attempt) {
    Sums total;
    for (std::size_t j = 0; j < units.size(); ++j) {
      const Sums& unit = units[stream.below(units.size(), attempt, j)];
      total.numerator += unit.numerator;
      total.denominator += unit.denominator;
    }
    if (total.denominator > 0)
      return total.numerator / total.denominator;
  }
}

}  // namespace

MeanEstimate mean_estimate(std::span<const double> values) {
  if (values.empty())
    throw ConfigError("values", "none", "at least one: nothing was measured");
  const auto n = static_cast<std::int64_t>(values.size());
  const auto count = static_cast<double>(n);
  double sum = 0;
  for (const double value : values) sum += value;
  MeanEstimate estimate{sum / count, std::nullopt, n, n - 1};
  if (n < 2)
    return estimate;
  double squares = 0;
  for (const double value : values) squares += (value - estimate.value) * (value - estimate.value);
  estimate.std_error = std::sqrt(squares / (count - 1) / count);
  return estimate;
}

MeanEstimate ratio_estimate(std::span<const double> numerators,
                            std::span<const double> denominators) {
  const Sums total = checked_sums(numerators, denominators);
  std::vector<Sums> units(numerators.size());
  for (std::size_t i = 0; i < units.size(); ++i) units[i] = {numerators[i], denominators[i]};
  return ratio_of(units, total);
}

MeanEstimate clustered_ratio_estimate(std::span<const double> numerators,
                                      std::span<const double> denominators,
                                      std::span<const std::int64_t> clusters) {
  const Sums total = checked_sums(numerators, denominators);
  MeanEstimate estimate = ratio_of(cluster_sums(numerators, denominators, clusters), total);
  estimate.n = static_cast<std::int64_t>(numerators.size());
  return estimate;
}

std::optional<Interval> t_interval(const MeanEstimate& estimate, double level) {
  check_level(level);
  if (!estimate.std_error)
    return std::nullopt;
  const double t = student_t_quantile(0.5 + 0.5 * level, static_cast<double>(estimate.degrees));
  const double half = t * *estimate.std_error;
  return Interval{estimate.value - half, estimate.value + half};
}

void RunningRatio::add(double numerator, double denominator) {
  if (!(denominator >= 0))
    throw ConfigError("denominator", fmt::format("{}", denominator), "0 or more");
  ++n_;
  sum_y_ += numerator;
  sum_x_ += denominator;
  sum_yy_ += numerator * numerator;
  sum_xy_ += numerator * denominator;
  sum_xx_ += denominator * denominator;
}

std::optional<MeanEstimate> RunningRatio::estimate() const {
  if (!(sum_x_ > 0))
    return std::nullopt;
  const double ratio = sum_y_ / sum_x_;
  const double residual_ss = sum_yy_ - 2 * ratio * sum_xy_ + ratio * ratio * sum_xx_;
  return MeanEstimate{ratio, ratio_std_error(residual_ss, sum_x_, n_), n_, n_ - 1};
}

std::optional<double> RunningRatio::half_width(double level) const {
  const auto current = estimate();
  if (!current)
    return std::nullopt;
  const auto interval = t_interval(*current, level);
  if (!interval)
    return std::nullopt;
  return 0.5 * (interval->high - interval->low);
}

Interval wilson_interval(std::int64_t successes, std::int64_t n, double level) {
  check_level(level);
  if (n < 1 || successes < 0 || successes > n)
    throw ConfigError("successes", fmt::format("{} of {}", successes, n), "0 <= successes <= n");
  const double z = normal_quantile(0.5 + 0.5 * level);
  const auto count = static_cast<double>(n);
  const double p = static_cast<double>(successes) / count;
  const double scale = 1 + z * z / count;
  const double centre = (p + z * z / (2 * count)) / scale;
  const double half = z * std::sqrt(p * (1 - p) / count + z * z / (4 * count * count)) / scale;
  // The bounds at 0 and n are exact; rounding must not move them.
  return {successes == 0 ? 0.0 : centre - half, successes == n ? 1.0 : centre + half};
}

Interval cluster_bootstrap_ratio(std::span<const double> numerators,
                                 std::span<const double> denominators,
                                 std::span<const std::int64_t> clusters, std::int64_t draws,
                                 std::uint64_t seed, double level) {
  check_level(level);
  checked_sums(numerators, denominators);
  if (draws < 1)
    throw ConfigError("draws", fmt::format("{}", draws), "1 or more");
  const std::vector<Sums> units = cluster_sums(numerators, denominators, clusters);
  if (units.size() < 2)
    throw ConfigError("clusters", fmt::format("{}", units.size()), "at least two to resample");
  std::vector<double> ratios(static_cast<std::size_t>(draws));
#pragma omp parallel for schedule(static)
  for (std::size_t draw = 0; draw < ratios.size(); ++draw)
    ratios[draw] = resampled_ratio(units, RandomStream(seed, Purpose::kBootstrap, draw));
  return {quantile(ratios, 0.5 - 0.5 * level), quantile(ratios, 0.5 + 0.5 * level)};
}

double quantile(std::span<const double> values, double q) {
  if (values.empty())
    throw ConfigError("values", "none", "at least one");
  if (!(q >= 0 && q <= 1))
    throw ConfigError("q", fmt::format("{}", q), "a number in [0, 1]");
  std::vector<double> sorted(values.begin(), values.end());
  std::sort(sorted.begin(), sorted.end());
  const double place = q * static_cast<double>(sorted.size() - 1);
  const auto below = static_cast<std::size_t>(place);
  const std::size_t above = std::min(below + 1, sorted.size() - 1);
  return sorted[below] + (place - static_cast<double>(below)) * (sorted[above] - sorted[below]);
}

}  // namespace dlm
