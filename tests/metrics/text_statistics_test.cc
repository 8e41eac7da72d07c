#include "metrics/text_statistics.h"

#include <cmath>
#include <string>

#include <gtest/gtest.h>

#include "harness/base/error.h"

namespace dlm {
namespace {

using Ids = std::vector<std::int64_t>;

const Estimate& find(const std::vector<Estimate>& all, const std::string& metric,
                     const std::string& variant) {
  for (const Estimate& estimate : all) {
    if (estimate.metric == metric && estimate.variant == variant)
      return estimate;
  }
  ADD_FAILURE() << "no " << metric << " " << variant;
  return all.front();
}

TEST(TextStatistics, EntropyIsThatOfTheFrequencies) {
  EXPECT_EQ(unigram_entropy({}), 0);
  EXPECT_EQ(unigram_entropy(Ids{7, 7, 7}), 0);
  EXPECT_NEAR(unigram_entropy(Ids{1, 2, 3, 4}), std::log(4), 1e-15);
  EXPECT_NEAR(unigram_entropy(Ids{5, 9, 5, 5}), -.75 * std::log(.75) - .25 * std::log(.25), 1e-15);
}

TEST(TextStatistics, DistinctCountsEveryNgramOnce) {
  const Ids ids{1, 2, 1, 2, 1};
  EXPECT_DOUBLE_EQ(*distinct_ngrams(ids, 1), 2.0 / 5);
  EXPECT_DOUBLE_EQ(*distinct_ngrams(ids, 2), 2.0 / 4);
  EXPECT_DOUBLE_EQ(*distinct_ngrams(ids, 3), 2.0 / 3);
  EXPECT_DOUBLE_EQ(*distinct_ngrams(ids, 5), 1);
  EXPECT_FALSE(distinct_ngrams(ids, 6).has_value());
  EXPECT_FALSE(distinct_ngrams({}, 1).has_value());
}

TEST(TextStatistics, RepeatedTokensLookBackAWindow) {
  EXPECT_DOUBLE_EQ(*repeated_tokens(Ids{1, 2, 3, 1}, 3), 1.0 / 4);
  EXPECT_DOUBLE_EQ(*repeated_tokens(Ids{1, 2, 3, 1}, 2), 0);
  EXPECT_DOUBLE_EQ(*repeated_tokens(Ids{4, 4, 4}, 1), 2.0 / 3);
  EXPECT_FALSE(repeated_tokens({}, 8).has_value());
}

TEST(TextStatistics, EstimatesAreOverTexts) {
  const std::vector<Ids> texts{{1, 1, 1, 1}, {1, 2, 3, 4}, {5}, {}};
  const auto all = text_statistics(texts);
  const Estimate& entropy = find(all, "unigram_entropy", "");
  EXPECT_NEAR(entropy.value, std::log(4) / 4, 1e-15);
  EXPECT_EQ(entropy.n, 4);
  EXPECT_TRUE(entropy.se_data.has_value());
  const Estimate& pairs = find(all, "distinct_n", "2");
  EXPECT_EQ(pairs.n, 2);  // the others have no pair
  EXPECT_NEAR(pairs.value, (1.0 / 3 + 1) / 2, 1e-15);
  EXPECT_EQ(find(all, "repetition", "4-gram").value, 0);
  EXPECT_NEAR(find(all, "repetition", "128 tokens").value, .75 / 3, 1e-15);
  EXPECT_DOUBLE_EQ(find(all, "sample_length", "mean").value, 9.0 / 4);
  EXPECT_DOUBLE_EQ(find(all, "sample_length", "median").value, 2.5);
  EXPECT_DOUBLE_EQ(find(all, "sample_length", "max").value, 4);
  EXPECT_FALSE(find(all, "sample_length", "median").ci_low.has_value());
}

TEST(TextStatistics, LengthsFallIntoBinsOfPowersOfTwo) {
  std::vector<Ids> texts;
  for (const std::size_t length : {0U, 1U, 2U, 3U, 4U, 7U, 7U, 20U}) texts.emplace_back(length, 1);
  const auto all = text_statistics(texts);
  EXPECT_DOUBLE_EQ(find(all, "sample_length_share", "     0 to      0").value, 1.0 / 8);
  EXPECT_DOUBLE_EQ(find(all, "sample_length_share", "     2 to      3").value, 2.0 / 8);
  EXPECT_DOUBLE_EQ(find(all, "sample_length_share", "     4 to      7").value, 3.0 / 8);
  EXPECT_DOUBLE_EQ(find(all, "sample_length_share", "     8 to     15").value, 0);
  double sum = 0;
  for (const Estimate& estimate : all) {
    if (estimate.metric == "sample_length_share")
      sum += estimate.value;
  }
  EXPECT_DOUBLE_EQ(sum, 1);
}

TEST(TextStatistics, MedianHasTheIntervalOfItsOrderStatistics) {
  std::vector<Ids> texts;
  for (std::size_t length = 1; length <= 100; ++length) texts.emplace_back(length, 1);
  const auto all = text_statistics(texts);
  const Estimate& median = find(all, "sample_length", "median");
  EXPECT_DOUBLE_EQ(median.value, 50.5);
  EXPECT_DOUBLE_EQ(*median.ci_low, 40);
  EXPECT_DOUBLE_EQ(*median.ci_high, 60);
}

TEST(TextStatistics, EveryEstimateHasADefinition) {
  const std::vector<Ids> texts{{1, 2, 3, 4, 5}};
  const auto definitions = text_statistics_definitions();
  for (const Estimate& estimate : text_statistics(texts)) {
    EXPECT_TRUE(std::any_of(definitions.begin(), definitions.end(), [&](const auto& one) {
      return one.metric == estimate.metric;
    })) << estimate.metric;
  }
  EXPECT_THROW(text_statistics({}), ConfigError);
}

}  // namespace
}  // namespace dlm
