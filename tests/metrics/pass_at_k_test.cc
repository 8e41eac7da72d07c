#include "metrics/pass_at_k.h"

#include <cmath>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "harness/base/error.h"
#include "harness/base/random.h"
#include "harness/base/stats.h"
#include "tests/models/diffusion/fixture.h"

namespace dlm {
namespace {

std::vector<ExampleRow> rows_of(const std::vector<std::pair<std::int64_t, std::int64_t>>& counts) {
  std::vector<ExampleRow> rows;
  for (std::size_t problem = 0; problem < counts.size(); ++problem) {
    for (std::int64_t i = 0; i < counts[problem].first; ++i) {
      ExampleRow row;
      row.doc_id = "problem " + std::to_string(problem);
      row.rep = i;
      row.score = i < counts[problem].second ? 1 : 0;
      row.exec_status = i < counts[problem].second ? "passed" : "wrong";
      rows.push_back(row);
    }
  }
  return rows;
}

TEST(PassAtK, IsTheHypergeometricChance) {
  EXPECT_NEAR(pass_at_k(10, 3, 1), 0.3, 1e-15);
  EXPECT_NEAR(pass_at_k(10, 3, 5), 11.0 / 12, 1e-15);
  EXPECT_NEAR(pass_at_k(200, 1, 100), 0.5, 1e-13);
  EXPECT_NEAR(pass_at_k(20, 4, 10), 0.9566563467492260, 1e-14);
  EXPECT_EQ(pass_at_k(5, 0, 5), 0);
  EXPECT_EQ(pass_at_k(5, 1, 5), 1);
}

TEST(PassAtK, RefusesWhatIsNoCount) {
  EXPECT_THROW(pass_at_k(3, 4, 1), ConfigError);
  EXPECT_THROW(pass_at_k(3, -1, 1), ConfigError);
  EXPECT_THROW(pass_at_k(3, 1, 0), ConfigError);
  EXPECT_THROW(pass_at_k(3, 1, 4), ConfigError);
  EXPECT_THROW(pass_at_k_variance(1, 1, 1), ConfigError);
}

// For k = 1 the estimator is c / n: variance p (1 - p) / (n - 1) with the correction. For k = n it
// is 1 unless no sample passes: variance q (1 - q), q = (1 - p)^n.
TEST(PassAtK, VarianceHasItsClosedForms) {
  EXPECT_NEAR(pass_at_k_variance(10, 3, 1), 0.3 * 0.7 / 9, 1e-14);
  const double q = std::pow(0.7, 10);
  EXPECT_NEAR(pass_at_k_variance(10, 3, 10), q * (1 - q) * 10 / 9, 1e-14);
  EXPECT_EQ(pass_at_k_variance(10, 0, 3), 0);
  EXPECT_EQ(pass_at_k_variance(10, 10, 3), 0);
}

// Problems of equal p: all error is the samples'. 400 problems of 20 samples, k = 3. The estimate
// is within 4.5 standard errors of 1 - (1 - p)^3 but once in 1e5 seeds, and the two errors' sum
// is near the spread over problems.
TEST(PassAtK, IsUnbiasedAndSplitsItsError) {
  const double p = 0.3;
  std::vector<std::pair<std::int64_t, std::int64_t>> counts;
  for (std::uint64_t problem = 0; problem < 400; ++problem) {
    const RandomStream stream(7, Purpose::kTest, problem);
    std::int64_t correct = 0;
    for (std::uint64_t i = 0; i < 20; ++i) correct += stream.uniform(0, i) < p ? 1 : 0;
    counts.emplace_back(20, correct);
  }
  const auto estimates = PassAtK({{1, 3}, ""}).compute(rows_of(counts));
  ASSERT_EQ(estimates.size(), 2U);
  const Estimate& three = estimates[1];
  EXPECT_EQ(three.variant, "k=3");
  EXPECT_NEAR(three.value, 1 - std::pow(1 - p, 3), 4.5 * *three.se_mc);
  EXPECT_LT(*three.se_data, 0.5 * *three.se_mc);
  EXPECT_EQ(three.n, 400);
}

TEST(PassAtK, HasAWilsonIntervalForOneSampleEach) {
  const auto estimates = PassAtK({{1, 10}, "sanitised"}).compute(rows_of({{1, 1}, {1, 0}, {1, 1}}));
  ASSERT_EQ(estimates.size(), 1U);  // there are no ten samples
  EXPECT_EQ(estimates[0].variant, "k=1, sanitised");
  EXPECT_EQ(estimates[0].ci_method, "Wilson");
  EXPECT_EQ(*estimates[0].ci_low, wilson_interval(2, 3).low);
  EXPECT_FALSE(estimates[0].se_mc);
  EXPECT_THROW(PassAtK({{2}, ""}).compute(rows_of({{1, 1}, {3, 0}})), ConfigError);
  EXPECT_THROW(PassAtK({{1}, ""}).compute({}), ConfigError);
}

// Ten samples of a problem that agree are worth one: the interval is that of the three problems.
TEST(PassAtK, ClustersByProblem) {
  const auto one = PassAtK({{1}, ""}).compute(rows_of({{2, 2}, {2, 0}, {2, 2}})).front();
  const auto ten = PassAtK({{1}, ""}).compute(rows_of({{10, 10}, {10, 0}, {10, 10}})).front();
  EXPECT_EQ(*one.ci_low, *ten.ci_low);
  EXPECT_EQ(ten.n_clusters, 3);
  EXPECT_EQ(*ten.se_mc, 0);
  EXPECT_NEAR(*ten.se_data, std::sqrt(1.0 / 9), 1e-15);
}

TEST(PassAtK, DoesNotTakeAgreementForCertainty) {
  const auto all = PassAtK({{1, 2}, ""}).compute(rows_of({{2, 2}, {2, 2}, {2, 2}}));
  for (const Estimate& estimate : all) {
    EXPECT_EQ(estimate.value, 1);
    EXPECT_FALSE(estimate.se_data);
    EXPECT_EQ(*estimate.ci_low, wilson_interval(3, 3).low);
  }
  const auto none = ExecShare().compute(rows_of({{1, 0}, {1, 0}})).front();
  EXPECT_EQ(none.variant, "wrong");
  EXPECT_EQ(*none.ci_low, wilson_interval(2, 2).low);
}

TEST(ExecShare, CountsEachEnd) {
  const auto shares = ExecShare().compute(rows_of({{4, 1}, {4, 3}}));
  ASSERT_EQ(shares.size(), 2U);
  EXPECT_EQ(shares[0].variant, "passed");
  EXPECT_EQ(shares[0].value, 0.5);
  EXPECT_EQ(shares[1].variant, "wrong");
  EXPECT_EQ(shares[1].n, 2);
  EXPECT_EQ(shares[1].n_clusters, 2);
}

TEST(PassAtKGolden, MatchesThePublishedEstimator) {
  DLM_REQUIRE_DATA("fixtures/pass_at_k");
  const testing::Fixture fixture("fixtures/pass_at_k/expected.safetensors");
  const auto arguments = fixture.get("n_c_k");
  const auto values = fixture.get("value");
  std::int64_t checked = 0;
  for (std::int64_t i = 0; i < arguments.shape[0]; ++i) {
    const auto n = static_cast<std::int64_t>(arguments.at(3 * i));
    const auto c = static_cast<std::int64_t>(arguments.at(3 * i + 1));
    const auto k = static_cast<std::int64_t>(arguments.at(3 * i + 2));
    if (k > n)
      continue;  // no such estimate; the original answers 1 where n - c < k
    EXPECT_NEAR(pass_at_k(n, c, k), values.at(i), 1e-13) << n << " " << c << " " << k;
    ++checked;
  }
  EXPECT_GE(checked, 340);
  std::vector<std::pair<std::int64_t, std::int64_t>> counts;
  for (std::int64_t i = 0; i < 5; ++i)
    counts.emplace_back(fixture.get("mean.num_samples").at(i),
                        fixture.get("mean.num_correct").at(i));
  const auto estimates = PassAtK({{1, 2, 5}, ""}).compute(rows_of(counts));
  ASSERT_EQ(estimates.size(), 3U);
  EXPECT_NEAR(estimates[0].value, fixture.get("mean.pass@1").at(0), 1e-15);
  EXPECT_NEAR(estimates[1].value, fixture.get("mean.pass@2").at(0), 1e-15);
  EXPECT_NEAR(estimates[2].value, fixture.get("mean.pass@5").at(0), 1e-15);
}

}  // namespace
}  // namespace dlm
