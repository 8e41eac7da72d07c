// Values from SciPy 1.17 (ttest_rel, ttest_1samp, binomtest, mannwhitneyu, wilcoxon) and NumPy 2
// unless derived in the test.
#include "results/paired_stats.h"

#include <cmath>
#include <vector>

#include <gtest/gtest.h>

#include "harness/base/error.h"
#include "results/rank_stats.h"
#include "results/signed_rank.h"

namespace dlm {
namespace {

const std::vector<double> kA = {2.1, 3.4, 1.9, 5.6, 4.4, 3.8, 2.7, 6.1};
const std::vector<double> kB = {2.4, 3.1, 2.5, 5.9, 4.9, 4.4, 2.6, 6.8};

std::vector<PairedUnit> means(const std::vector<double>& a, const std::vector<double>& b) {
  std::vector<PairedUnit> units;
  for (std::size_t i = 0; i < a.size(); ++i) units.push_back({a[i], 1, b[i], 1});
  return units;
}

TEST(PairedStats, DifferenceOfMeansIsThePairedTTest) {
  const PairedDifference result = paired_difference(means(kA, kB));
  ASSERT_TRUE(result.difference.std_error.has_value());
  EXPECT_NEAR(result.difference.value / *result.difference.std_error, 2.5707855895593545, 1e-12);
  EXPECT_NEAR(t_test_p(result.difference).value_or(-1), 0.0369655185437331, 1e-12);
  const Interval interval = t_interval(result.difference).value_or(Interval{});
  EXPECT_NEAR(interval.low, 0.026063019456484482, 1e-12);
  EXPECT_NEAR(interval.high, 0.6239369805435159, 1e-12);
  EXPECT_NEAR(result.correlation.value_or(0), 0.9793759567886783, 1e-12);
}

TEST(PairedStats, DifferenceOfRatiosIsTheLinearisedOne) {
  const std::vector<PairedUnit> units = {
      {10, 4, 11, 4}, {20, 9, 21, 10}, {31, 15, 30, 14}, {44, 20, 46, 20}};
  const PairedDifference result = paired_difference(units);
  EXPECT_DOUBLE_EQ(result.a, 2.1875);
  EXPECT_DOUBLE_EQ(result.b, 2.25);
  EXPECT_NEAR(result.difference.std_error.value_or(0), 0.05107531487276267, 1e-14);
  EXPECT_NEAR(result.correlation.value_or(0), 0.7249101351193031, 1e-13);
}

TEST(PairedStats, EqualMeasurementsDoNotDifferAndAConstantShiftDoes) {
  const MeanEstimate same = paired_difference(means(kA, kA)).difference;
  EXPECT_EQ(t_test_p(same), 1.0);
  const MeanEstimate shifted = paired_difference(means({1, 1, 1}, {2, 2, 2})).difference;
  EXPECT_EQ(t_test_p(shifted), 0.0);
  EXPECT_EQ(t_interval(shifted).value_or(Interval{}).low, 1.0);
  EXPECT_FALSE(t_test_p(paired_difference(means({1}, {2})).difference).has_value());
}

TEST(PairedStats, McNemarIsTheExactBinomialTest) {
  EXPECT_NEAR(mcnemar_p(3, 12), 0.03515625, 1e-14);
  EXPECT_NEAR(mcnemar_p(61, 52), 0.4518532686657418, 1e-12);
  EXPECT_NEAR(mcnemar_p(0, 7), 0.015625, 1e-15);
  EXPECT_NEAR(mcnemar_p(400, 470), 0.019267052848609047, 1e-13);
  EXPECT_EQ(mcnemar_p(10, 10), 1);
  EXPECT_EQ(mcnemar_p(0, 0), 1);
  EXPECT_THROW(mcnemar_p(-1, 2), ConfigError);
}

TEST(PairedStats, ProportionsIntervalAddsHalfToEachCell) {
  const Interval interval =
      paired_proportions_interval({.both = 40, .only_a = 12, .only_b = 20, .neither = 28});
  EXPECT_NEAR(interval.low, -0.0308978771970172, 1e-14);
  EXPECT_NEAR(interval.high, 0.1877606222950564, 1e-14);
  EXPECT_THROW(paired_proportions_interval({}), ConfigError);
}

TEST(PairedStats, HolmStepsDown) {
  const std::vector<double> p = {0.01, 0.04, 0.03, 0.005, 0.2};
  const std::vector<double> expected = {0.04, 0.09, 0.09, 0.025, 0.2};
  const std::vector<double> adjusted = holm_adjusted(p);
  ASSERT_EQ(adjusted.size(), expected.size());
  for (std::size_t i = 0; i < p.size(); ++i) EXPECT_NEAR(adjusted[i], expected[i], 1e-15);
  EXPECT_TRUE(holm_adjusted({}).empty());
}

TEST(PairedStats, NeededUnits) {
  // ((z_0.95 + z_0.9) 2 / 0.25)^2; the other test would need 503.
  EXPECT_EQ(needed_units(2.0, 0.25), 549);
  EXPECT_EQ(needed_units(0.0, 0.25), 2);
  EXPECT_THROW(needed_units(1, -1), ConfigError);
}

TEST(PairedStats, RefusesWhatHasNoRatio) {
  EXPECT_THROW(paired_difference({}), ConfigError);
  EXPECT_THROW(paired_difference(std::vector<PairedUnit>{{1, 0, 1, 1}}), ConfigError);
  EXPECT_THROW(paired_difference(std::vector<PairedUnit>{{1, -1, 1, 1}, {1, 3, 1, 1}}),
               ConfigError);
  EXPECT_THROW(paired_bootstrap(means({1}, {1}), 10, 1), ConfigError);
  EXPECT_THROW(paired_bootstrap(means({1, 2}, {1, 3}), 0, 1), ConfigError);
}

TEST(RankStats, ExactTestWithoutTies) {
  const RankTest test = mann_whitney(std::vector<double>{1.1, 2.3, 3.2, 4.7, 5.9},
                                     std::vector<double>{2.0, 4.1, 6.2, 7.3, 8.8, 9.1});
  EXPECT_TRUE(test.exact);
  EXPECT_EQ(test.u, 24);
  EXPECT_NEAR(test.p, 0.12554112554112554, 1e-14);
}

TEST(RankStats, TiesAreCorrectedFor) {
  const RankTest test = mann_whitney(std::vector<double>{1, 2, 2, 3, 3, 3, 4, 5, 6, 7},
                                     std::vector<double>{2, 3, 4, 4, 5, 5, 6, 7, 8, 9, 9, 10});
  EXPECT_FALSE(test.exact);
  EXPECT_EQ(test.u, 92.5);
  EXPECT_NEAR(test.p, 0.03358078019083418, 1e-13);
  EXPECT_EQ(mann_whitney(std::vector<double>{1, 1}, std::vector<double>{1, 1}).p, 1);
  EXPECT_THROW(mann_whitney({}, std::vector<double>{1}), ConfigError);
}

TEST(RankStats, LargerSamplesTakeTheNormalApproximation) {
  std::vector<double> x, y;
  for (int i = 1; i <= 30; ++i) x.push_back(std::sin(i * 1.7) * 3);
  for (int i = 1; i <= 25; ++i) y.push_back(std::cos(i * 0.9) * 2 + 1);
  const RankTest test = mann_whitney(x, y);
  EXPECT_EQ(test.u, 453);
  EXPECT_NEAR(test.p, 0.19019952476546487, 1e-12);
  const Shift shift = shift_estimate(x, y);
  EXPECT_NEAR(shift.value, 0.9310069305843118, 1e-12);
  EXPECT_NEAR(shift.interval.value().low, -0.36078281550497815, 1e-12);
  EXPECT_NEAR(shift.interval.value().high, 2.0193582212290666, 1e-12);
}

TEST(RankStats, ShiftIsTheMedianDifference) {
  const std::vector<double> a = {1.1, 2.3, 3.2, 4.7, 5.9};
  const std::vector<double> b = {2.0, 4.1, 6.2, 7.3, 8.8, 9.1};
  EXPECT_DOUBLE_EQ(shift_estimate(a, b).value, 3.0);
  // P(U <= 3) = 7/462 < 0.025 <= P(U <= 4): the 4th of 30 differences from each end.
  const Interval interval = shift_estimate(a, b).interval.value();
  EXPECT_DOUBLE_EQ(interval.low, 2.0 - 3.2);
  EXPECT_DOUBLE_EQ(interval.high, 8.8 - 2.3);
  const Shift single = shift_estimate(std::vector<double>{2}, std::vector<double>{5});
  EXPECT_EQ(single.value, 3);
  EXPECT_FALSE(single.inner_interval.has_value());
  // Of C(6, 3) = 20 orders one leaves all of a side below the other, which is no less than 5 %; of
  // C(8, 4) = 70 too, which is.
  EXPECT_FALSE(shift_estimate(std::span(a).first(3), std::span(b).first(3)).inner_interval);
  const Interval four =
      shift_estimate(std::span(a).first(4), std::span(b).first(4)).interval.value();
  EXPECT_DOUBLE_EQ(four.low, 2.0 - 4.7);
  EXPECT_DOUBLE_EQ(four.high, 7.3 - 1.1);
}

const std::vector<double> kDifferences = {0.12, -0.05, 0.33, 0.41, -0.21, 0.08, 0.27, 0.19, -0.02};

std::vector<double> waves(int count, double shift) {
  std::vector<double> values;
  for (int i = 1; i <= count; ++i) values.push_back(std::sin(i * 1.7) * 3 + shift);
  return values;
}

TEST(SignedRank, ExactOverAllSigns) {
  const RankTest few = signed_rank(kDifferences);
  EXPECT_TRUE(few.exact);
  EXPECT_EQ(few.u, 36);
  EXPECT_NEAR(few.p, 0.12890625, 1e-15);
  const RankTest more = signed_rank(waves(30, 0.6));
  EXPECT_EQ(more.u, 309);
  EXPECT_NEAR(more.p, 0.11907656863331795, 1e-13);
}

// The p is a count over the 512 sign patterns of these nine sizes, made one by one.
TEST(SignedRank, TiesShareTheirRankAndZerosAreLeftOut) {
  const RankTest test = signed_rank(std::vector<double>{1, 1, -1, 2, 2, 3, -3, 4, 0, 5});
  EXPECT_EQ(test.u, 36.5);
  EXPECT_NEAR(test.p, 0.12109375, 1e-15);
  EXPECT_EQ(signed_rank(std::vector<double>{0, 0}).p, 1);
  EXPECT_THROW(signed_rank({}), ConfigError);
}

TEST(SignedRank, LargerSamplesTakeTheNormalApproximation) {
  const RankTest test = signed_rank(waves(250, 0.25));
  EXPECT_FALSE(test.exact);
  EXPECT_EQ(test.u, 18286);
  EXPECT_NEAR(test.p, 0.023209745214267375, 1e-12);
}

TEST(SignedRank, CentreIsTheMedianOfWalshAverages) {
  const Centre centre = centre_estimate(kDifferences, 0.95, 0.90);
  EXPECT_DOUBLE_EQ(centre.value, 0.125);
  // P(W <= 5) = 10/512 < 0.025 <= P(W <= 6): the 6th of 45 averages from each end; for 0.05 the
  // 9th.
  EXPECT_DOUBLE_EQ(centre.interval.value().low, -0.045);
  EXPECT_DOUBLE_EQ(centre.interval.value().high, 0.3);
  EXPECT_NEAR(centre.inner_interval.value().low, -0.01, 1e-15);
  EXPECT_DOUBLE_EQ(centre.inner_interval.value().high, 0.26);
  EXPECT_FALSE(centre_estimate(kDifferences, 0.999, 0.90).interval.has_value());
  const Centre of_waves = centre_estimate(waves(30, 0.6), 0.95, 0.90);
  EXPECT_NEAR(of_waves.value, 0.6461434366702212, 1e-13);
  EXPECT_NEAR(of_waves.interval.value().low, -0.16938914805436722, 1e-13);
  EXPECT_NEAR(of_waves.interval.value().high, 1.5054310692444968, 1e-13);
  EXPECT_THROW(centre_estimate(kDifferences, 1, 0.9), ConfigError);
  EXPECT_THROW(centre_estimate({}, 0.95, 0.9), ConfigError);
}

}  // namespace
}  // namespace dlm
