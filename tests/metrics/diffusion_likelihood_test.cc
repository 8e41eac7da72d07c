#include "metrics/diffusion_likelihood.h"

#include <cmath>
#include <numbers>

#include <gtest/gtest.h>

#include "harness/base/error.h"

namespace dlm {
namespace {

ExampleRow row(const std::string& id, double nll, double m2, std::int64_t n_mc) {
  ExampleRow row;
  row.doc_id = id;
  row.nll = nll;
  row.nll_m2 = m2;
  row.n_mc = n_mc;
  row.tokens = 10;
  row.bytes = 40;
  row.words = 5;
  return row;
}

Estimate measure(LikelihoodQuantity quantity, const std::vector<ExampleRow>& rows) {
  return DiffusionLikelihoodMetric(quantity, {}).compute(rows).front();
}

// Sums 90 nats, 30 tokens. Residuals -2, 0, 2 (from 28, 30, 32): total variance 3/2 * 8 / 900;
// the draws' 2 * 3 / (3 * 2) per row: 3 / 900.
const std::vector<ExampleRow> kRows = {row("a", 28, 6, 3), row("b", 30, 6, 3), row("c", 32, 6, 3)};

TEST(DiffusionLikelihoodMetric, SplitsTheErrorByHand) {
  const Estimate nll = measure(LikelihoodQuantity::kNll, kRows);
  EXPECT_DOUBLE_EQ(nll.value, 3);
  EXPECT_NEAR(nll.se_mc.value(), std::sqrt(3.0) / 30, 1e-14);
  EXPECT_NEAR(nll.se_data.value(), std::sqrt(9.0) / 30, 1e-14);
  // The interval is that of the whole: t of 2 degrees.
  EXPECT_NEAR(nll.ci_high.value() - 3, 4.302652729911275 * std::sqrt(12.0) / 30, 1e-9);
}

TEST(DiffusionLikelihoodMetric, ScalesTheErrorWithTheQuantity) {
  const double se = std::sqrt(3.0);
  const Estimate perplexity = measure(LikelihoodQuantity::kPerplexity, kRows);
  EXPECT_NEAR(perplexity.se_mc.value(), std::exp(3.0) * se / 30, 1e-12);
  EXPECT_NEAR(perplexity.se_data.value(), std::exp(3.0) * 3 / 30, 1e-12);
  const Estimate bits = measure(LikelihoodQuantity::kBitsPerByte, kRows);
  EXPECT_NEAR(bits.se_mc.value(), se / (120 * std::numbers::ln2), 1e-14);
  const Estimate words = measure(LikelihoodQuantity::kWordPerplexity, kRows);
  EXPECT_NEAR(words.se_mc.value() / words.value, se / 15, 1e-12);
}

TEST(DiffusionLikelihoodMetric, IsExactWithoutDraws) {
  const Estimate nll = measure(LikelihoodQuantity::kNll, {row("a", 28, 0, 0), row("b", 32, 0, 0)});
  EXPECT_EQ(nll.se_mc.value(), 0);
  EXPECT_NEAR(nll.se_data.value(), std::sqrt(2.0 * 8) / 20, 1e-14);
}

TEST(DiffusionLikelihoodMetric, LeavesOutWhatOneDrawCannotTell) {
  const Estimate nll = measure(LikelihoodQuantity::kNll,
                               {row("a", 28, 0, 1), row("b", 30, 6, 3), row("c", 32, 6, 3)});
  EXPECT_FALSE(nll.se_mc.has_value());
  EXPECT_NEAR(nll.se_data.value(), std::sqrt(12.0) / 30, 1e-14);
}

TEST(DiffusionLikelihoodMetric, HasNoDataErrorWhereTheDrawsExplainAll) {
  const Estimate nll =
      measure(LikelihoodQuantity::kNll, {row("a", 30, 600, 3), row("b", 30, 600, 3)});
  EXPECT_EQ(nll.se_data.value(), 0);
  EXPECT_NEAR(nll.se_mc.value(), std::sqrt(200.0) / 20, 1e-14);
}

TEST(DiffusionLikelihoodMetric, HasTheDrawsErrorOfOneDocument) {
  const Estimate nll = measure(LikelihoodQuantity::kNll, {row("a", 30, 6, 3)});
  EXPECT_FALSE(nll.se_data.has_value());
  EXPECT_FALSE(nll.ci_low.has_value());
  EXPECT_NEAR(nll.se_mc.value(), 0.1, 1e-14);
}

TEST(DiffusionLikelihoodMetric, SaysThatItIsABound) {
  const auto estimator = [](const DiffusionLikelihoodOptions& options) {
    return DiffusionLikelihoodMetric(LikelihoodQuantity::kNll, options)
        .definitions()
        .front()
        .estimator;
  };
  EXPECT_EQ(estimator({true, "stratified, 8 draws"}),
            "upper bound: ratio of sums of stratified, 8 draws");
  EXPECT_EQ(estimator({false, ""}), "ratio of sums");
}

TEST(DiffusionLikelihoodMetric, RefusesBadSpread) {
  EXPECT_THROW(measure(LikelihoodQuantity::kNll, {row("a", 30, NAN, 3)}), InternalError);
  EXPECT_THROW(measure(LikelihoodQuantity::kNll, {row("a", 30, -1, 3)}), InternalError);
  EXPECT_THROW(measure(LikelihoodQuantity::kNll, {}), ConfigError);
}

}  // namespace
}  // namespace dlm
