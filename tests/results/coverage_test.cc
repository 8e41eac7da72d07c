// What the intervals and tests promise, by simulation: 2,000 runs each. The draws are fixed, so a
// test cannot fail by chance; a true rate of 95 % gives 93.5-96.5 % in all but 0.2 % of seeds.
#include <cmath>
#include <functional>
#include <vector>

#include <gtest/gtest.h>

#include "harness/base/random.h"
#include "results/paired_stats.h"
#include "results/rank_stats.h"

namespace dlm {
namespace {

constexpr int kRuns = 2000;

// The share of 2,000 simulated experiments for which `holds`.
double share(const std::function<bool(const RandomStream&)>& holds) {
  int count = 0;
#pragma omp parallel for schedule(static) reduction(+ : count)
  for (int run = 0; run < kRuns; ++run)
    count += holds(RandomStream(20, Purpose::kTest, static_cast<std::uint64_t>(run))) ? 1 : 0;
  return static_cast<double>(count) / kRuns;
}

bool covers(const Interval& interval, double truth) {
  return interval.low <= truth && truth <= interval.high;
}

void expect_coverage(double rate) {
  EXPECT_GE(rate, 0.935);
  EXPECT_LE(rate, 0.965);
}

// Documents in clusters of one to three: nats and tokens of both models, strongly correlated.
// E[y_b] / E[x] - E[y_a] / E[x] = `shift` exactly.
std::vector<PairedUnit> clusters(const RandomStream& draw, std::uint64_t count, double shift) {
  std::vector<PairedUnit> units(count);
  for (std::uint64_t c = 0; c < count; ++c) {
    const double hardness = 0.5 * draw.normal(c, 0);
    const std::uint64_t documents = 1 + draw.below(3, c, 1);
    for (std::uint64_t d = 0; d < documents; ++d) {
      const double tokens = 20 + static_cast<double>(draw.below(200, c, 10 + d));
      const double nats = tokens * (3 + hardness + 0.3 * draw.normal(c, 20 + d));
      units[c].y_a += nats;
      units[c].y_b += nats + tokens * (shift + 0.1 * draw.normal(c, 30 + d));
      units[c].x_a += tokens;
      units[c].x_b += tokens;
    }
  }
  return units;
}

TEST(CoverageSlow, TIntervalOfAPairedDifferenceOfRatios) {
  for (const std::uint64_t count : {30U, 150U}) {
    expect_coverage(share([count](const RandomStream& draw) {
      const auto interval = t_interval(paired_difference(clusters(draw, count, 0.02)).difference);
      return covers(*interval, 0.02);
    }));
  }
}

TEST(CoverageSlow, ClusterBootstrap) {
  expect_coverage(share([](const RandomStream& draw) {
    return covers(paired_bootstrap(clusters(draw, 120, 0.02), 1000, 5), 0.02);
  }));
}

PairedCounts answers(const RandomStream& draw, std::uint64_t documents, double p_a, double p_b) {
  PairedCounts counts;
  for (std::uint64_t i = 0; i < documents; ++i) {
    // With probability 0.8 one uniform decides both: the answers agree most of the time.
    const double u = draw.uniform(i, 0);
    const double v = draw.uniform(i, 1) < 0.8 ? u : draw.uniform(i, 2);
    const bool a = u < p_a;
    const bool b = v < p_b;
    (a ? (b ? counts.both : counts.only_a) : (b ? counts.only_b : counts.neither)) += 1;
  }
  return counts;
}

TEST(CoverageSlow, PairedProportions) {
  expect_coverage(share([](const RandomStream& draw) {
    return covers(paired_proportions_interval(answers(draw, 300, 0.60, 0.65)), 0.05);
  }));
}

std::vector<double> log_times(const RandomStream& draw, std::uint64_t n, std::uint64_t side,
                              double shift) {
  std::vector<double> times;
  for (std::uint64_t i = 0; i < n; ++i) {
    // Skewed, as times are: noise only ever adds.
    times.push_back(shift + std::log(1 + 0.1 * -std::log(1 - draw.uniform(i, 50 + side))));
  }
  return times;
}

TEST(CoverageSlow, HodgesLehmannShift) {
  for (const std::uint64_t n : {15U, 60U}) {
    expect_coverage(share([n](const RandomStream& draw) {
      const Shift shift = shift_estimate(log_times(draw, n, 0, 0), log_times(draw, n, 1, 0.05));
      return covers(shift.interval, 0.05);
    }));
  }
}

TEST(FalseAlarmSlow, TestsOfTheSameThingAlarmInAtMostFivePercent) {
  EXPECT_LE(share([](const RandomStream& draw) {
              return *t_test_p(paired_difference(clusters(draw, 60, 0)).difference) < 0.05;
            }),
            0.062);
  EXPECT_LE(share([](const RandomStream& draw) {
              const PairedCounts counts = answers(draw, 300, 0.6, 0.6);
              return mcnemar_p(counts.only_a, counts.only_b) < 0.05;
            }),
            0.05);
  EXPECT_LE(share([](const RandomStream& draw) {
              return mann_whitney(log_times(draw, 10, 0, 0), log_times(draw, 10, 1, 0)).p < 0.05;
            }),
            0.05);
}

// The standard deviation that one cluster adds to the difference, from one large sample.
double unit_sd() {
  constexpr std::uint64_t kMany = 20000;
  const auto units = clusters(RandomStream(21, Purpose::kTest, 0), kMany, 0);
  return *paired_difference(units).difference.std_error * std::sqrt(static_cast<double>(kMany));
}

TEST(PowerSlow, IsAsComputed) {
  const double margin = 0.02;
  const auto n = static_cast<std::uint64_t>(needed_units(unit_sd(), margin));
  const double differs = share([&](const RandomStream& draw) {
    return *t_test_p(paired_difference(clusters(draw, n, margin)).difference) < 0.05;
  });
  const double predicted = power_of_test(margin, unit_sd() / std::sqrt(static_cast<double>(n)));
  EXPECT_NEAR(differs, predicted, 0.03);
  const double same = share([&](const RandomStream& draw) {
    return *equivalence_p(paired_difference(clusters(draw, n, 0)).difference, margin) < 0.05;
  });
  EXPECT_NEAR(same, 0.8, 0.03);
}

}  // namespace
}  // namespace dlm
