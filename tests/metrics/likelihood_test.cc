#include "metrics/likelihood.h"

#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "harness/base/error.h"
#include "metrics/factory.h"

namespace dlm {
namespace {

ExampleRow row_of(std::string id, double nll, std::int64_t tokens, std::int64_t bytes,
                  std::int64_t words) {
  ExampleRow row;
  row.doc_id = std::move(id);
  row.nll = nll;
  row.tokens = tokens;
  row.bytes = bytes;
  row.words = words;
  return row;
}

// nll 2, 4, 6 over tokens 1, 3, 6: ratio 1.2, residuals 0.8, 0.4, -1.2 (sum of squares 2.24), so
// the standard error is sqrt(3/2 * 2.24) / 10 = 0.18330...; t with 2 degrees at 97.5 %
// is 4.30265....
std::vector<ExampleRow> hand_worked() {
  return {row_of("a", 2, 1, 10, 2), row_of("b", 4, 3, 30, 6), row_of("c", 6, 6, 60, 12)};
}

constexpr double kT2 = 4.3026527297494618;
const double kStdError = std::sqrt(3.36) / 10;

Estimate computed(const char* name, const std::vector<ExampleRow>& rows, bool exact = true) {
  const auto estimates = make_metric(name, {exact, {}, {}})->compute(rows);
  EXPECT_EQ(estimates.size(), 1U);
  return estimates.at(0);
}

std::string error_of(const char* name, const std::vector<ExampleRow>& rows) {
  try {
    make_metric(name)->compute(rows);
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

TEST(Nll, AgreesWithAHandWorkedExample) {
  const Estimate nll = computed("nll", hand_worked());
  EXPECT_EQ(nll.metric, "nll");
  EXPECT_DOUBLE_EQ(nll.value, 1.2);
  EXPECT_NEAR(*nll.se_data, kStdError, 1e-15);
  EXPECT_EQ(*nll.se_mc, 0);
  EXPECT_NEAR(*nll.ci_low, 1.2 - kT2 * kStdError, 1e-12);
  EXPECT_NEAR(*nll.ci_high, 1.2 + kT2 * kStdError, 1e-12);
  EXPECT_EQ(nll.ci_method, "t over documents, linearised ratio");
  EXPECT_EQ(nll.n, 3);
  EXPECT_EQ(nll.n_clusters, 3);
}

TEST(Perplexity, IsTheExponentialWithDeltaMethodError) {
  const Estimate perplexity = computed("perplexity", hand_worked());
  EXPECT_NEAR(perplexity.value, std::exp(1.2), 1e-14);
  EXPECT_NEAR(*perplexity.se_data, std::exp(1.2) * kStdError, 1e-14);
  EXPECT_NEAR(*perplexity.ci_low, std::exp(1.2 - kT2 * kStdError), 1e-11);
  EXPECT_NEAR(*perplexity.ci_high, std::exp(1.2 + kT2 * kStdError), 1e-11);
  EXPECT_EQ(perplexity.ci_method, "t over documents, linearised ratio, exp of the log");
}

TEST(BitsPerByte, DividesByBytesAndLn2) {
  const Estimate bits = computed("bits_per_byte", hand_worked());
  EXPECT_NEAR(bits.value, 0.12 / std::log(2), 1e-15);
  EXPECT_NEAR(*bits.se_data, kStdError / 10 / std::log(2), 1e-15);
}

TEST(WordPerplexity, IsExpOfNatsPerWord) {
  EXPECT_NEAR(computed("word_perplexity", hand_worked()).value, std::exp(0.6), 1e-14);
}

TEST(Likelihood, ClustersAreSummedFirst) {
  std::vector<ExampleRow> rows = {row_of("a1", 1, 1, 5, 1), row_of("a2", 1, 0, 5, 1),
                                  row_of("b", 4, 3, 30, 6), row_of("c", 6, 6, 60, 12)};
  rows[0].cluster = rows[1].cluster = "a";
  const Estimate nll = computed("nll", rows);
  EXPECT_DOUBLE_EQ(nll.value, 1.2);
  EXPECT_NEAR(*nll.se_data, kStdError, 1e-15);
  EXPECT_EQ(nll.n, 4);
  EXPECT_EQ(nll.n_clusters, 3);
  EXPECT_EQ(nll.ci_method, "t over clusters, linearised ratio");
}

TEST(Likelihood, ReplicatesOfADocumentAreOneDocument) {
  std::vector<ExampleRow> rows = hand_worked();
  for (const ExampleRow& row : hand_worked()) {
    rows.push_back(row);
    rows.back().rep = 1;
  }
  const Estimate nll = computed("nll", rows, false);
  EXPECT_NEAR(*nll.se_data, kStdError, 1e-15);
  EXPECT_EQ(nll.n, 3);
  EXPECT_FALSE(nll.se_mc);
}

TEST(Likelihood, ADocumentAndAClusterOfOneNameStayApart) {
  std::vector<ExampleRow> rows = hand_worked();
  rows[1].cluster = "a";
  EXPECT_EQ(computed("nll", rows).n_clusters, 3);
}

TEST(Likelihood, OneDocumentHasAValueAndNoError) {
  const Estimate perplexity = computed("perplexity", {row_of("a", 2, 4, 9, 1)});
  EXPECT_NEAR(perplexity.value, std::exp(0.5), 1e-15);
  EXPECT_FALSE(perplexity.se_data);
  EXPECT_FALSE(perplexity.ci_low);
  EXPECT_FALSE(perplexity.ci_high);
  EXPECT_EQ(perplexity.ci_method, "");
}

TEST(Perplexity, LeavesOutAnIntervalThatOverflows) {
  const Estimate perplexity =
      computed("perplexity", {row_of("a", 1, 1, 1, 1), row_of("b", 400, 1, 1, 1)});
  EXPECT_TRUE(std::isfinite(perplexity.value));
  EXPECT_TRUE(perplexity.se_data);
  EXPECT_FALSE(perplexity.ci_low);
  EXPECT_FALSE(perplexity.ci_high);
}

TEST(Likelihood, RefusesRowsThatMeasureNothing) {
  EXPECT_EQ(error_of("nll", {}), "metric = 'nll': nothing measured: 0 scored tokens, a size of 0");
  EXPECT_EQ(error_of("perplexity", {row_of("a", 0, 0, 5, 1)}),
            "metric = 'perplexity': nothing measured: 0 scored tokens, a size of 0");
  EXPECT_EQ(error_of("bits_per_byte", {row_of("a", 1, 2, 0, 0)}),
            "metric = 'bits_per_byte': nothing measured: 2 scored tokens, a size of 0");
  EXPECT_NE(error_of("nll", {row_of("a", std::numeric_limits<double>::infinity(), 2, 1, 1)})
                .find("document a: nll is inf"),
            std::string::npos);
}

TEST(MetricFactory, KnowsItsNamesAndDefinitions) {
  for (const std::string& name : metric_names()) {
    const auto definitions = make_metric(name, {true, {}, 1.0})->definitions();
    ASSERT_EQ(definitions.size(), 1U);
    EXPECT_EQ(definitions[0].metric, name);
    EXPECT_EQ(definitions[0].better, name.ends_with("entropy") ? "none" : "lo");
    EXPECT_FALSE(definitions[0].unit.empty() || definitions[0].doc.empty());
  }
  EXPECT_EQ(metric_names().size(), 6U);
  try {
    make_metric("perplexty");
    FAIL() << "no error";
  } catch (const ConfigError& error) {
    EXPECT_STREQ(error.what(), "metric = 'perplexty': unknown; did you mean 'perplexity'?");
  }
}

}  // namespace
}  // namespace dlm
