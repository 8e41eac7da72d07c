#include "harness/bench/sampling_speed.h"

#include <cmath>
#include <cstdint>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "harness/base/random.h"

namespace dlm {
namespace {

// Ranks of the 95 % interval of a median, from tables of the sign test.
TEST(MedianInterval, TakesTheOrderStatisticsOfTheSignTest) {
  const auto ranks = [](int n) {
    std::vector<double> values;
    for (int i = n; i >= 1; --i) values.push_back(i);
    const MedianInterval found = median_interval(values);
    EXPECT_DOUBLE_EQ(found.median, (n + 1) / 2.0);
    return std::pair(found.interval.low, found.interval.high);
  };
  EXPECT_EQ(ranks(1), std::pair(1.0, 1.0));
  EXPECT_EQ(ranks(6), std::pair(1.0, 6.0));
  EXPECT_EQ(ranks(8), std::pair(1.0, 8.0));
  EXPECT_EQ(ranks(9), std::pair(2.0, 8.0));
  EXPECT_EQ(ranks(12), std::pair(3.0, 10.0));
  EXPECT_EQ(ranks(20), std::pair(6.0, 15.0));
}

// 2,000 runs of 20 skewed times: the true rate is 95.86 %.
TEST(MedianInterval, CoversTheMedianAsOftenAsItSays) {
  constexpr int kRuns = 2000;
  const double truth = std::log(2.0);
  int covered = 0;
  for (std::uint64_t run = 0; run < kRuns; ++run) {
    const RandomStream draw(21, Purpose::kTest, run);
    std::vector<double> times;
    for (std::uint64_t i = 0; i < 20; ++i) times.push_back(-std::log(1 - draw.uniform(i, 0)));
    const Interval interval = median_interval(times).interval;
    covered += interval.low <= truth && truth <= interval.high ? 1 : 0;
  }
  EXPECT_GE(covered, 0.935 * kRuns);
  EXPECT_LE(covered, 0.965 * kRuns);
}

}  // namespace
}  // namespace dlm
