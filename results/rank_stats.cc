#include "results/rank_stats.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

#include "harness/base/error.h"

namespace dlm {
namespace {

constexpr std::size_t kMostExactPairs = 400;

std::vector<double> sorted_copy(std::span<const double> values) {
  if (values.empty())
    throw ConfigError("sample", "none", "at least one value on each side");
  std::vector<double> sorted(values.begin(), values.end());
  std::sort(sorted.begin(), sorted.end());
  return sorted;
}

// P(U <= k) for k = 0 .. n m where no values tie, by the recursion over the greatest value.
std::vector<double> exact_cdf(std::size_t n, std::size_t m) {
  // ways[j][u]: arrangements of the i a's so far and j b's with U = u.
  std::vector<std::vector<double>> ways(m + 1, std::vector<double>(n * m + 1, 0.0));
  for (std::size_t j = 0; j <= m; ++j) ways[j][0] = 1;
  for (std::size_t i = 1; i <= n; ++i) {
    for (std::size_t j = 1; j <= m; ++j) {
      // The greatest is a b (above all i a's) or the i-th a (above none counted for B).
      for (std::size_t u = i * j + 1; u-- > 0;) ways[j][u] += u >= i ? ways[j - 1][u - i] : 0.0;
    }
  }
  std::vector<double> cdf = ways[m];
  double sum = 0;
  for (double& value : cdf) value = sum += value;
  for (double& value : cdf) value /= sum;
  return cdf;
}

// The sum of t^3 - t over groups of tied values, and the ranks' sum of `b`.
struct RankSums {
  double ties = 0;
  double rank_sum_b = 0;
};

RankSums rank_sums(const std::vector<double>& a, const std::vector<double>& b) {
  RankSums sums;
  double below = 0;
  std::size_t i = 0, j = 0;
  while (i < a.size() || j < b.size()) {
    const bool from_a = j == b.size() || (i < a.size() && a[i] <= b[j]);
    const double value = from_a ? a[i] : b[j];
    double of_a = 0, of_b = 0;
    for (; i < a.size() && a[i] == value; ++i) ++of_a;
    for (; j < b.size() && b[j] == value; ++j) ++of_b;
    const double tied = of_a + of_b;
    sums.rank_sum_b += of_b * (below + (tied + 1) / 2);
    sums.ties += tied * tied * tied - tied;
    below += tied;
  }
  return sums;
}

// How many differences b_j - a_i are at most `limit`.
double count_at_most(const std::vector<double>& a, const std::vector<double>& b, double limit) {
  double count = 0;
  std::size_t j = 0;
  for (const double value : a) {
    while (j < b.size() && b[j] - value <= limit) ++j;
    count += static_cast<double>(j);
  }
  return count;
}

// The differences in (low, high], sorted.
std::vector<double> differences_between(const std::vector<double>& a, const std::vector<double>& b,
                                        double low, double high) {
  std::vector<double> differences;
  std::size_t first = 0;
  for (const double value : a) {
    while (first < b.size() && b[first] - value <= low) ++first;
    for (std::size_t j = first; j < b.size() && b[j] - value <= high; ++j)
      differences.push_back(b[j] - value);
  }
  std::sort(differences.begin(), differences.end());
  return differences;
}

// The k-th smallest difference, k from 1: halves the range until few enough are left to look at.
double kth_difference(const std::vector<double>& a, const std::vector<double>& b, double k) {
  constexpr double kFewEnough = 100000;
  double low = std::nextafter(b.front() - a.back(), -HUGE_VAL);
  double high = b.back() - a.front();
  double below = 0;
  double up_to = static_cast<double>(a.size()) * static_cast<double>(b.size());
  while (up_to - below > kFewEnough) {
    const double middle = low + 0.5 * (high - low);
    if (!(middle > low && middle < high))
      return high;  // more differences than that are equal
    const double count = count_at_most(a, b, middle);
    (count >= k ? high : low) = middle;
    (count >= k ? up_to : below) = count;
  }
  return differences_between(a, b, low, high)[static_cast<std::size_t>(k - below) - 1];
}

// Differences left out at each end of the interval.
double left_out(std::size_t n, std::size_t m, double level) {
  const double tail = 0.5 - 0.5 * level;
  if (n * m <= kMostExactPairs) {
    const std::vector<double> cdf = exact_cdf(n, m);
    const auto above = std::find_if(cdf.begin(), cdf.end(), [tail](double p) { return p > tail; });
    return static_cast<double>(above - cdf.begin());
  }
  const double pairs = static_cast<double>(n) * static_cast<double>(m);
  const double sd = std::sqrt(pairs * static_cast<double>(n + m + 1) / 12);
  return std::max(0.0, std::floor(pairs / 2 - normal_quantile(1 - tail) * sd));
}

}  // namespace

RankTest mann_whitney(std::span<const double> a, std::span<const double> b) {
  const std::vector<double> sorted_a = sorted_copy(a);
  const std::vector<double> sorted_b = sorted_copy(b);
  const auto n = static_cast<double>(a.size());
  const auto m = static_cast<double>(b.size());
  const RankSums sums = rank_sums(sorted_a, sorted_b);
  RankTest test;
  test.u = sums.rank_sum_b - m * (m + 1) / 2;
  test.exact = sums.ties == 0 && a.size() * b.size() <= kMostExactPairs;
  const double smaller = std::min(test.u, n * m - test.u);
  if (test.exact) {
    test.p = std::min(1.0, 2 * exact_cdf(a.size(), b.size())[static_cast<std::size_t>(smaller)]);
    return test;
  }
  const double all = n + m;
  const double variance = n * m / 12 * (all + 1 - sums.ties / (all * (all - 1)));
  const double distance = std::max(0.0, n * m / 2 - smaller - 0.5);
  test.p = variance > 0 ? std::min(1.0, 2 * normal_cdf(-distance / std::sqrt(variance))) : 1;
  return test;
}

Shift shift_estimate(std::span<const double> a, std::span<const double> b, double level,
                     double inner_level) {
  for (const double one : {level, inner_level}) {
    if (!(one > 0 && one < 1))
      throw ConfigError("level", fmt::format("{}", one), "a number inside (0, 1)");
  }
  const std::vector<double> sorted_a = sorted_copy(a);
  const std::vector<double> sorted_b = sorted_copy(b);
  const double pairs = static_cast<double>(a.size()) * static_cast<double>(b.size());
  const auto kth = [&](double k) { return kth_difference(sorted_a, sorted_b, k); };
  const auto interval = [&](double at_level) -> std::optional<Interval> {
    const double cut = left_out(a.size(), b.size(), at_level);
    if (cut < 1)
      return std::nullopt;
    return Interval{kth(cut), kth(pairs + 1 - cut)};
  };
  const double low = std::floor((pairs + 1) / 2);
  const double high = std::floor(pairs / 2) + 1;
  Shift shift;
  shift.value = low == high ? kth(low) : 0.5 * (kth(low) + kth(high));
  shift.interval = interval(level);
  shift.inner_interval = interval(inner_level);
  return shift;
}

}  // namespace dlm
