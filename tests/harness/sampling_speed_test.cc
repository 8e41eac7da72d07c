#include "harness/bench/sampling_speed.h"

#include <utility>
#include <vector>

#include <gtest/gtest.h>

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

}  // namespace
}  // namespace dlm
