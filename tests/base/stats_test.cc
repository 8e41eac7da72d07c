#include "harness/base/stats.h"

#include <cmath>
#include <vector>

#include <gtest/gtest.h>
#include <omp.h>

#include "harness/base/error.h"
#include "harness/base/random.h"

namespace dlm {
namespace {

using Values = std::vector<double>;

TEST(MeanEstimate, IsMeanAndStandardDeviationOverRootN) {
  const MeanEstimate estimate = mean_estimate(Values{2, 4, 4, 4, 5, 5, 7, 9});
  EXPECT_DOUBLE_EQ(estimate.value, 5);
  EXPECT_DOUBLE_EQ(*estimate.std_error, std::sqrt(32.0 / 7 / 8));
  EXPECT_EQ(estimate.n, 8);
  EXPECT_EQ(estimate.degrees, 7);
}

TEST(MeanEstimate, KeepsItsDigitsFarFromZero) {
  EXPECT_NEAR(*mean_estimate(Values{1e9 + 1, 1e9 + 2, 1e9 + 3}).std_error, 1 / std::sqrt(3), 1e-12);
}

TEST(MeanEstimate, HasNoStandardErrorForOneUnit) {
  const MeanEstimate estimate = mean_estimate(Values{3});
  EXPECT_EQ(estimate.value, 3);
  EXPECT_FALSE(estimate.std_error);
  EXPECT_FALSE(t_interval(estimate));
  EXPECT_THROW(mean_estimate(Values{}), ConfigError);
}

// Worked by hand: R = 12/10 = 1.2; residuals y - R x = 2 - 1.2, 4 - 3.6, 6 - 7.2 = 0.8, 0.4, -1.2,
// so the sum of squares is 2.24 and the standard error sqrt(3/2 * 2.24) / 10.
TEST(RatioEstimate, AgreesWithAHandWorkedExample) {
  const MeanEstimate estimate = ratio_estimate(Values{2, 4, 6}, Values{1, 3, 6});
  EXPECT_DOUBLE_EQ(estimate.value, 1.2);
  EXPECT_NEAR(*estimate.std_error, std::sqrt(3.36) / 10, 1e-15);
  EXPECT_EQ(estimate.n, 3);
  EXPECT_EQ(estimate.degrees, 2);
  const auto interval = t_interval(estimate);
  EXPECT_NEAR(interval->high - estimate.value, 4.302652729749462 * std::sqrt(3.36) / 10, 1e-12);
  EXPECT_NEAR(estimate.value - interval->low, interval->high - estimate.value, 1e-15);
}

TEST(RatioEstimate, IsTheMeanWhenEveryDenominatorIsOne) {
  const Values values{0.3, 1.7, 2.2, -0.4};
  const MeanEstimate ratio = ratio_estimate(values, Values(4, 1.0));
  const MeanEstimate mean = mean_estimate(values);
  EXPECT_DOUBLE_EQ(ratio.value, mean.value);
  EXPECT_NEAR(*ratio.std_error, *mean.std_error, 1e-15);
}

TEST(RatioEstimate, RefusesWhatHasNoRatio) {
  EXPECT_THROW(ratio_estimate(Values{}, Values{}), ConfigError);
  EXPECT_THROW(ratio_estimate(Values{1}, Values{0}), ConfigError);
  EXPECT_THROW(ratio_estimate(Values{1, 1}, Values{2, -1}), ConfigError);
  EXPECT_THROW(ratio_estimate(Values{1, 1}, Values{2}), InternalError);
}

// One simulated sample of 40 units: x in 1..20, y = 2 x + sqrt(x) * noise.
void draw_units(std::uint64_t sample, Values& y, Values& x) {
  const RandomStream stream(7, Purpose::kTest, sample);
  for (std::size_t i = 0; i < y.size(); ++i) {
    x[i] = 1 + static_cast<double>(stream.below(20, 0, i));
    y[i] = 2 * x[i] + std::sqrt(x[i]) * stream.normal(1, i);
  }
}

// 20,000 samples: the mean of the squared standard errors agrees with the variance of the ratio
// within 6 % (its relative sampling error is about 1 %; the linearisation is biased by -1/n, here
// about 2.5 %). False-alarm rate below 1e-3; the seed is fixed.
TEST(RatioEstimate, StandardErrorAgreesWithBruteForceSimulation) {
  Values ratios, squares, y(40), x(40);
  for (std::uint64_t sample = 0; sample < 20'000; ++sample) {
    draw_units(sample, y, x);
    const MeanEstimate estimate = ratio_estimate(y, x);
    ratios.push_back(estimate.value);
    squares.push_back(*estimate.std_error * *estimate.std_error);
  }
  const MeanEstimate truth = mean_estimate(ratios);
  const double variance = *truth.std_error * *truth.std_error * 20'000;
  EXPECT_NEAR(mean_estimate(squares).value / variance, 1, 0.06);
  EXPECT_NEAR(truth.value, 2, 5 * *truth.std_error);
}

TEST(ClusteredRatio, IsTheUnclusteredOneWhenEachClusterHasOneUnit) {
  const Values y{2, 4, 6, 1}, x{1, 3, 6, 2};
  const MeanEstimate plain = ratio_estimate(y, x);
  const std::vector<std::int64_t> clusters{4, 9, -3, 0};
  const MeanEstimate clustered = clustered_ratio_estimate(y, x, clusters);
  EXPECT_DOUBLE_EQ(clustered.value, plain.value);
  EXPECT_NEAR(*clustered.std_error, *plain.std_error, 1e-15);
  EXPECT_EQ(clustered.n, 4);
  EXPECT_EQ(clustered.degrees, 3);
}

TEST(ClusteredRatio, IsTheRatioOverSummedClusters) {
  const Values y{1, 1, 4, 2, 4}, x{0.5, 0.5, 3, 1, 5};
  const std::vector<std::int64_t> clusters{0, 0, 1, 2, 2};
  const MeanEstimate clustered = clustered_ratio_estimate(y, x, clusters);
  const MeanEstimate summed = ratio_estimate(Values{2, 4, 6}, Values{1, 3, 6});
  EXPECT_DOUBLE_EQ(clustered.value, summed.value);
  EXPECT_NEAR(*clustered.std_error, *summed.std_error, 1e-15);
  EXPECT_EQ(clustered.n, 5);
  EXPECT_EQ(clustered.degrees, 2);
}

TEST(ClusteredRatio, HasNoStandardErrorForOneCluster) {
  const std::vector<std::int64_t> clusters{5, 5};
  EXPECT_FALSE(clustered_ratio_estimate(Values{1, 2}, Values{1, 1}, clusters).std_error);
}

TEST(RunningRatio, AgreesWithTheWholeSampleAtEveryStep) {
  Values y(40), x(40);
  draw_units(0, y, x);
  RunningRatio running;
  EXPECT_FALSE(running.estimate());
  EXPECT_FALSE(running.half_width());
  for (std::size_t i = 0; i < y.size(); ++i) {
    running.add(y[i], x[i]);
    const MeanEstimate whole = ratio_estimate(std::span(y).first(i + 1), std::span(x).first(i + 1));
    EXPECT_NEAR(running.estimate()->value, whole.value, 1e-13);
    EXPECT_EQ(running.estimate()->std_error.has_value(), i > 0);
    if (i == 0)
      continue;
    EXPECT_NEAR(*running.estimate()->std_error / *whole.std_error, 1, 1e-9);
    const auto interval = t_interval(whole, 0.9);
    EXPECT_NEAR(*running.half_width(0.9), interval->high - whole.value, 1e-9);
  }
  EXPECT_THROW(running.add(1, -1), ConfigError);
}

// The published examples: Newcombe, Statistics in Medicine 17 (1998) 857, table I, method 3.
TEST(Wilson, AgreesWithPublishedExamples) {
  const struct {
    std::int64_t successes, n;
    double low, high;
  } kRows[] = {{81, 263, 0.2553, 0.3662},
               {15, 148, 0.0624, 0.1605},
               {0, 20, 0, 0.1611},
               {1, 29, 0.0061, 0.1718}};

  for (const auto& row : kRows) {
    const Interval interval = wilson_interval(row.successes, row.n);
    EXPECT_NEAR(interval.low, row.low, 5e-5);
    EXPECT_NEAR(interval.high, row.high, 5e-5);
  }
}

TEST(Wilson, EndsExactlyAtZeroAndOne) {
  for (const std::int64_t n : {1, 3, 29, 1000}) {
    EXPECT_EQ(wilson_interval(0, n).low, 0);
    EXPECT_EQ(wilson_interval(n, n).high, 1);
    EXPECT_NEAR(wilson_interval(n, n).low, 1 - wilson_interval(0, n).high, 1e-15);
  }
  EXPECT_NEAR(wilson_interval(29, 29).low, 0.8830302015, 1e-10);
  EXPECT_THROW(wilson_interval(0, 0), ConfigError);
  EXPECT_THROW(wilson_interval(3, 2), ConfigError);
  EXPECT_THROW(wilson_interval(1, 2, 1.0), ConfigError);
}

TEST(Bootstrap, IsTheSameAtAnyThreadCountAndDiffersBySeed) {
  Values y(40), x(40);
  draw_units(3, y, x);
  std::vector<std::int64_t> clusters(40);
  for (std::size_t i = 0; i < 40; ++i) clusters[i] = static_cast<std::int64_t>(i / 2);
  const int threads = omp_get_max_threads();
  omp_set_num_threads(1);
  const Interval one = cluster_bootstrap_ratio(y, x, clusters, 500, 1);
  omp_set_num_threads(3);
  const Interval three = cluster_bootstrap_ratio(y, x, clusters, 500, 1);
  omp_set_num_threads(threads);
  EXPECT_EQ(one.low, three.low);
  EXPECT_EQ(one.high, three.high);
  EXPECT_NE(cluster_bootstrap_ratio(y, x, clusters, 500, 2).low, one.low);
}

// With many draws the interval is close to the linearised one; 12 % of its width allows for the
// bootstrap's own error (about 2 %) and for t against the percentile method (about 5 %).
TEST(Bootstrap, IsCloseToTheLinearisedInterval) {
  Values y(40), x(40);
  draw_units(5, y, x);
  std::vector<std::int64_t> clusters(40);
  for (std::size_t i = 0; i < 40; ++i) clusters[i] = static_cast<std::int64_t>(i);
  const Interval bootstrap = cluster_bootstrap_ratio(y, x, clusters, 10'000, 1);
  const auto linear = t_interval(ratio_estimate(y, x));
  const double width = linear->high - linear->low;
  EXPECT_NEAR(bootstrap.low, linear->low, 0.12 * width);
  EXPECT_NEAR(bootstrap.high, linear->high, 0.12 * width);
}

TEST(Bootstrap, DrawsAgainWhenAllDenominatorsAreZero) {
  const std::vector<std::int64_t> clusters{0, 1};
  const Interval interval = cluster_bootstrap_ratio(Values{3, 0}, Values{2, 0}, clusters, 64, 1);
  EXPECT_EQ(interval.low, 1.5);
  EXPECT_EQ(interval.high, 1.5);
}

TEST(Bootstrap, RefusesOneClusterAndNoDraws) {
  const std::vector<std::int64_t> one{0, 0}, two{0, 1};
  EXPECT_THROW(cluster_bootstrap_ratio(Values{1, 2}, Values{1, 1}, one, 10, 1), ConfigError);
  EXPECT_THROW(cluster_bootstrap_ratio(Values{1, 2}, Values{1, 1}, two, 0, 1), ConfigError);
}

TEST(Quantile, InterpolatesLinearly) {
  const Values values{4, 1, 3, 2};
  EXPECT_EQ(quantile(values, 0), 1);
  EXPECT_EQ(quantile(values, 1), 4);
  EXPECT_DOUBLE_EQ(quantile(values, 0.5), 2.5);
  EXPECT_DOUBLE_EQ(quantile(values, 0.1), 1.3);
  EXPECT_EQ(quantile(Values{7}, 0.3), 7);
  EXPECT_THROW(quantile(Values{}, 0.5), ConfigError);
  EXPECT_THROW(quantile(values, 1.1), ConfigError);
}

}  // namespace
}  // namespace dlm
