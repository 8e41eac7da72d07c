#include <cmath>
#include <vector>

#include <gtest/gtest.h>

#include "harness/base/error.h"
#include "metrics/factory.h"

namespace dlm {
namespace {

ExampleRow row(const char* id, double nll, std::int64_t tokens) {
  ExampleRow row;
  row.doc_id = id;
  row.nll = nll;
  row.tokens = tokens;
  return row;
}

MetricOptions known(double entropy) {
  MetricOptions options;
  options.entropy_per_token = entropy;
  return options;
}

// Three documents of 10 tokens with 11, 12 and 16 nats: mean 1.3, standard deviation 0.2646 per
// token.
TEST(TruthMetric, StatesTheGapWithItsError) {
  const std::vector<ExampleRow> rows{row("a", 11, 10), row("b", 12, 10), row("c", 16, 10)};
  const auto truth = make_metric("entropy", known(1.2))->compute(rows);
  ASSERT_EQ(truth.size(), 1U);
  EXPECT_EQ(truth[0].value, 1.2);
  EXPECT_EQ(truth[0].se_data, 0);
  EXPECT_EQ(truth[0].n_clusters, 3);
  const auto gap = make_metric("nll_minus_entropy", known(1.2))->compute(rows);
  ASSERT_EQ(gap.size(), 1U);
  EXPECT_EQ(gap[0].metric, "nll_minus_entropy");
  EXPECT_NEAR(gap[0].value, 0.1, 1e-12);
  EXPECT_NEAR(gap[0].se_data.value(), std::sqrt(0.07 / 3), 1e-12);
  // t(0.975, 2) = 4.302653.
  EXPECT_NEAR(gap[0].ci_high.value(), 0.1 + 4.302653 * std::sqrt(0.07 / 3), 1e-6);
  EXPECT_NEAR(gap[0].ci_low.value(), 0.1 - 4.302653 * std::sqrt(0.07 / 3), 1e-6);
}

TEST(TruthMetric, CountsWhatIsIndependent) {
  std::vector<ExampleRow> rows{row("a 1", 11, 10), row("a 2", 12, 10), row("b", 16, 10)};
  rows[0].cluster = rows[1].cluster = "a";
  EXPECT_EQ(make_metric("entropy", known(1.2))->compute(rows).at(0).n_clusters, 2);
}

TEST(TruthMetric, OneDocumentHasNoInterval) {
  const std::vector<ExampleRow> rows{row("a", 11, 10)};
  const auto gap = make_metric("nll_minus_entropy", known(1.2))->compute(rows);
  EXPECT_FALSE(gap[0].se_data.has_value());
  EXPECT_FALSE(gap[0].ci_low.has_value());
}

// Ten draws of two replicates: the Monte-Carlo error goes with the gap, the data keep the rest.
TEST(TruthMetric, KeepsTheErrorOfTheDraws) {
  std::vector<ExampleRow> rows{row("a", 11, 10), row("b", 12, 10), row("c", 16, 10)};
  for (ExampleRow& one : rows) {
    one.n_mc = 2;
    one.nll_m2 = 0.5;
  }
  MetricOptions options = known(1.2);
  options.diffusion = DiffusionLikelihoodOptions{true, "stratified"};
  const auto metric = make_metric("nll_minus_entropy", options);
  const auto gap = metric->compute(rows);
  EXPECT_NEAR(gap[0].se_mc.value(), std::sqrt(3 * 0.5 / 2) / 30, 1e-12);
  EXPECT_TRUE(metric->definitions()[0].estimator.starts_with("upper bound: "));
}

TEST(TruthMetric, NeedsAKnownEntropy) {
  EXPECT_THROW(make_metric("entropy"), ConfigError);
  EXPECT_THROW(make_metric("nll_minus_entropy"), ConfigError);
}

}  // namespace
}  // namespace dlm
