#include "metrics/accuracy.h"

#include <cmath>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "harness/base/error.h"
#include "harness/base/stats.h"

namespace dlm {
namespace {

ExampleRow row(int document, int sample, double score) {
  ExampleRow row;
  row.doc_id = std::to_string(document);
  row.rep = sample;
  row.score = score;
  return row;
}

Estimate accuracy(const std::vector<ExampleRow>& rows) {
  return Accuracy({"accuracy", "strict"}).compute(rows).at(0);
}

// 7 of 10. Wilson: (p + z^2/2n +- z sqrt(p q / n + z^2/4n^2)) / (1 + z^2/n).
TEST(Accuracy, OneAnswerADocumentHasWilsonsInterval) {
  std::vector<ExampleRow> rows;
  for (int i = 0; i < 10; ++i) rows.push_back(row(i, 0, i < 7 ? 1 : 0));
  const Estimate estimate = accuracy(rows);
  EXPECT_EQ(estimate.variant, "strict");
  EXPECT_NEAR(estimate.value, 0.7, 1e-15);
  EXPECT_NEAR(estimate.se_data.value(), std::sqrt(0.21 / 9), 1e-12);
  EXPECT_NEAR(estimate.ci_low.value(), 0.396778147, 1e-8);
  EXPECT_NEAR(estimate.ci_high.value(), 0.892208733, 1e-8);
  EXPECT_EQ(estimate.n, 10);
}

TEST(Accuracy, AllRightIsNotCertain) {
  const Estimate estimate = accuracy({row(0, 0, 1), row(1, 0, 1), row(2, 0, 1)});
  EXPECT_EQ(estimate.value, 1);
  EXPECT_FALSE(estimate.se_data.has_value());  // unknown, not 0
  EXPECT_NEAR(estimate.ci_low.value(), wilson_interval(3, 3).low, 1e-12);
  EXPECT_EQ(estimate.ci_method, "Wilson over documents");
}

// Documents with 2 of 2, 1 of 2 and 0 of 2 right: the error is that of the three document means,
// sqrt(0.25 / 3), not that of six answers.
TEST(Accuracy, SamplesOfADocumentAreOneCluster) {
  const Estimate estimate = accuracy(
      {row(0, 0, 1), row(0, 1, 1), row(1, 0, 1), row(1, 1, 0), row(2, 0, 0), row(2, 1, 0)});
  EXPECT_NEAR(estimate.value, 0.5, 1e-15);
  EXPECT_EQ(estimate.n, 3);
  EXPECT_EQ(estimate.n_clusters, 3);
  EXPECT_NEAR(estimate.se_data.value(), std::sqrt(0.25 / 3), 1e-12);
  // t(0.975, 2) = 4.302653: the interval is cut to [0, 1].
  EXPECT_EQ(estimate.ci_low.value(), 0);
  EXPECT_EQ(estimate.ci_high.value(), 1);
  EXPECT_EQ(estimate.ci_method, "t over documents, samples clustered");
}

TEST(Accuracy, RefusesWhatIsNoVerdict) {
  EXPECT_THROW(accuracy({}), ConfigError);
  EXPECT_THROW(accuracy({row(0, 0, 0.5)}), InternalError);
  ExampleRow unjudged = row(0, 0, 0);
  unjudged.score.reset();
  EXPECT_THROW(accuracy({unjudged}), InternalError);
}

}  // namespace
}  // namespace dlm
