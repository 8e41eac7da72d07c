#include "metrics/truth.h"

#include <cmath>
#include <vector>

#include <gtest/gtest.h>

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

// Three documents of 10 tokens with 11, 12 and 16 nats: mean 1.3, standard deviation 0.2646 per
// token.
TEST(TruthMetric, StatesTheGapWithItsError) {
  const std::vector<ExampleRow> rows{row("a", 11, 10), row("b", 12, 10), row("c", 16, 10)};
  const auto estimates = make_truth_metric(1.2, make_metric("nll"))->compute(rows);
  ASSERT_EQ(estimates.size(), 2U);
  EXPECT_EQ(estimates[0].metric, "entropy");
  EXPECT_EQ(estimates[0].value, 1.2);
  EXPECT_EQ(estimates[1].metric, "nll_minus_entropy");
  EXPECT_NEAR(estimates[1].value, 0.1, 1e-12);
  EXPECT_NEAR(estimates[1].se_data.value(), std::sqrt(0.07 / 3), 1e-12);
  // t(0.975, 2) = 4.302653.
  EXPECT_NEAR(estimates[1].ci_high.value(), 0.1 + 4.302653 * std::sqrt(0.07 / 3), 1e-6);
  EXPECT_NEAR(estimates[1].ci_low.value(), 0.1 - 4.302653 * std::sqrt(0.07 / 3), 1e-6);
}

TEST(TruthMetric, OneDocumentHasNoInterval) {
  const std::vector<ExampleRow> rows{row("a", 11, 10)};
  const auto estimates = make_truth_metric(1.2, make_metric("nll"))->compute(rows);
  EXPECT_FALSE(estimates[1].se_data.has_value());
  EXPECT_FALSE(estimates[1].ci_low.has_value());
}

TEST(TruthMetric, DefinesWhatItComputes) {
  const auto metric = make_truth_metric(1.0, make_metric("nll"));
  const auto definitions = metric->definitions();
  ASSERT_EQ(definitions.size(), 2U);
  EXPECT_EQ(definitions[0].metric, "entropy");
  EXPECT_EQ(definitions[1].metric, "nll_minus_entropy");
}

}  // namespace
}  // namespace dlm
