#include "results/signed_rank.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <vector>

#include "harness/base/error.h"

namespace dlm {
namespace {

constexpr std::size_t kMostExact = 200;

void check_some(std::span<const double> differences) {
  if (differences.empty())
    throw ConfigError("differences", "none", "at least one pair");
}

// P(S <= s) for s = 0 .. sum of `ranks`, S the sum of those whose fair coin shows heads.
std::vector<double> sum_cdf(const std::vector<std::size_t>& ranks) {
  std::size_t total = 0;
  for (const std::size_t rank : ranks) total += rank;
  std::vector<double> mass(total + 1, 0.0);
  mass[0] = 1;
  std::size_t reached = 0;
  for (const std::size_t rank : ranks) {
    reached += rank;
    for (std::size_t s = reached + 1; s-- > 0;)
      mass[s] = 0.5 * (mass[s] + (s >= rank ? mass[s - rank] : 0.0));
  }
  double sum = 0;
  for (double& value : mass) value = sum += value;
  return mass;
}

// Twice the mean ranks of the sizes (whole numbers also for ties), and the sum of those above 0.
struct Ranked {
  std::vector<std::size_t> doubled;
  std::size_t positive = 0;
  double ties = 0;  // sum of t^3 - t
};

Ranked ranked(std::vector<double> values) {
  std::sort(values.begin(), values.end(),
            [](double a, double b) { return std::abs(a) < std::abs(b); });
  Ranked result;
  for (std::size_t i = 0; i < values.size();) {
    std::size_t end = i;
    while (end < values.size() && std::abs(values[end]) == std::abs(values[i])) ++end;
    const auto tied = static_cast<double>(end - i);
    result.ties += tied * tied * tied - tied;
    for (std::size_t j = i; j < end; ++j) {
      result.doubled.push_back(i + end + 1);
      result.positive += values[j] > 0 ? i + end + 1 : 0;
    }
    i = end;
  }
  return result;
}

// Walsh averages left out at each end, plus one; 0 where the level cannot be reached.
std::size_t cut_of(std::size_t n, double level) {
  const double tail = 0.5 - 0.5 * level;
  if (n <= kMostExact) {
    std::vector<std::size_t> ranks(n);
    for (std::size_t i = 0; i < n; ++i) ranks[i] = i + 1;
    const std::vector<double> cdf = sum_cdf(ranks);
    const auto above = std::find_if(cdf.begin(), cdf.end(), [tail](double p) { return p > tail; });
    return static_cast<std::size_t>(above - cdf.begin());
  }
  const auto count = static_cast<double>(n);
  const double mean = count * (count + 1) / 4;
  const double sd = std::sqrt(count * (count + 1) * (2 * count + 1) / 24);
  return static_cast<std::size_t>(std::max(0.0, std::floor(mean - normal_quantile(1 - tail) * sd)));
}

std::optional<Interval> interval_at(const std::vector<double>& walsh, std::size_t n, double level) {
  if (!(level > 0 && level < 1))
    throw ConfigError("level", fmt::format("{}", level), "a number inside (0, 1)");
  const std::size_t cut = cut_of(n, level);
  if (cut == 0)
    return std::nullopt;
  return Interval{walsh[cut - 1], walsh[walsh.size() - cut]};
}

}  // namespace

RankTest signed_rank(std::span<const double> differences) {
  check_some(differences);
  std::vector<double> nonzero;
  for (const double d : differences) {
    if (d != 0)
      nonzero.push_back(d);
  }
  const auto n = static_cast<double>(nonzero.size());
  const Ranked ranks = ranked(std::move(nonzero));
  RankTest test;
  test.u = 0.5 * static_cast<double>(ranks.positive);
  test.exact = ranks.doubled.size() <= kMostExact;
  const auto all = static_cast<std::size_t>(n * (n + 1));
  const std::size_t smaller = std::min(ranks.positive, all - ranks.positive);
  if (test.exact) {
    test.p = std::min(1.0, 2 * sum_cdf(ranks.doubled)[smaller]);
    return test;
  }
  const double variance = n * (n + 1) * (2 * n + 1) / 24 - ranks.ties / 48;
  const double distance = std::max(0.0, n * (n + 1) / 4 - 0.5 * static_cast<double>(smaller) - 0.5);
  test.p = std::min(1.0, 2 * normal_cdf(-distance / std::sqrt(variance)));
  return test;
}

Centre centre_estimate(std::span<const double> differences, double level, double inner_level) {
  check_some(differences);
  std::vector<double> walsh;
  walsh.reserve(differences.size() * (differences.size() + 1) / 2);
  for (std::size_t i = 0; i < differences.size(); ++i) {
    for (std::size_t j = i; j < differences.size(); ++j)
      walsh.push_back(0.5 * (differences[i] + differences[j]));
  }
  std::sort(walsh.begin(), walsh.end());
  Centre centre;
  const std::size_t middle = walsh.size() / 2;
  centre.value = walsh.size() % 2 == 1 ? walsh[middle] : 0.5 * (walsh[middle - 1] + walsh[middle]);
  centre.interval = interval_at(walsh, differences.size(), level);
  centre.inner_interval = interval_at(walsh, differences.size(), inner_level);
  return centre;
}

}  // namespace dlm
