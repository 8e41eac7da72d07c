// Laws held as kept tokens: those of full sorts, whatever the vocabulary and the rule.
#include "models/sampling/token_law.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <numeric>

#include <gtest/gtest.h>

#include "harness/base/error.h"
#include "harness/base/random.h"
#include "models/sampling/exp_weights.h"
#include "models/sampling/stop_rules.h"
#include "tests/support/plain_law.h"

namespace dlm {
namespace {

std::vector<float> random_logits(std::size_t count, double spread, std::uint64_t seed) {
  const RandomStream stream(seed, Purpose::kTest, 0);
  std::vector<float> logits;
  for (std::size_t i = 0; i < count; ++i)
    logits.push_back(static_cast<float>(spread * stream.normal(0, i)));
  return logits;
}

void expect_law(const TokenLaw& law, const std::vector<double>& expected) {
  ASSERT_TRUE(std::ranges::is_sorted(law.tokens, std::less_equal<>()));
  const std::vector<double> mine = testing::dense(law, expected.size());
  for (std::size_t i = 0; i < expected.size(); ++i) ASSERT_NEAR(mine[i], expected[i], 1e-13) << i;
}

std::vector<TokenFilter> various_filters() {
  return {{},
          {.temperature = 0.3},
          {.top_k = 3},
          {.nucleus_p = 0.9},
          {.nucleus_p = 1e-9},
          {.nucleus_p = 1 - 1e-15},
          {.nucleus_p = 0.9, .nucleus_rule = NucleusRule::kDrop},
          {.temperature = 1.5, .top_k = 40, .nucleus_p = 0.999},
          {.top_k = 5, .nucleus_p = 0.8, .order = FilterOrder::kNucleusFirst}};
}

TEST(TokenLaw, IsThatOfFullSorts) {
  for (const std::size_t size : {1U, 2U, 7U, 131U, 5000U}) {
    for (const double spread : {0.01, 1.0, 6.0, 60.0}) {
      auto logits = random_logits(size, spread, size);
      if (size > 2)
        logits[2] = -std::numeric_limits<float>::infinity();
      for (const TokenFilter& filter : various_filters()) {
        const TokenLaw law = token_law(logits, filter);
        expect_law(law, testing::plain_law(logits, filter));
        EXPECT_EQ(law.best, argmax_token(logits));
        EXPECT_GE(law.margin, 0);
      }
    }
  }
}

TEST(TokenLaw, ADrawFromLogitsIsTheLawsOwn) {
  const RandomStream stream(3, Purpose::kTest, 0);
  std::uint64_t draw = 0;
  for (const std::size_t size : {1U, 2U, 131U, 5000U, 50258U}) {
    for (const double spread : {0.0, 0.6, 6.0, 60.0}) {
      auto logits = random_logits(size, spread, size);
      if (size > 2)
        logits[2] = -std::numeric_limits<float>::infinity();
      for (const TokenFilter& filter : various_filters()) {
        const TokenLaw law = token_law(logits, filter);
        for (const double uniform : {0.0, stream.uniform(0, draw++), stream.uniform(0, draw++)}) {
          const DrawnToken expected = draw_from(law, uniform);
          const DrawnToken drawn = draw_from_logits(logits, filter, uniform);
          ASSERT_EQ(drawn.token, expected.token) << size << ' ' << spread << ' ' << uniform;
          if (std::isfinite(expected.margin))
            ASSERT_NEAR(drawn.margin, expected.margin, 1e-12);
          else
            ASSERT_EQ(drawn.margin, expected.margin);
        }
      }
    }
  }
}

TEST(ExpWeights, AreTheLibrarysToTheLastDigits) {
  std::vector<float> logits = random_logits(1003, 90, 4);
  logits[5] = -std::numeric_limits<float>::infinity();
  const double largest = *std::max_element(logits.begin(), logits.end());
  std::vector<double> weights(logits.size());
  for (const double temperature : {1.0, 0.4, 7.0}) {
    const double total = exp_weights(logits, largest, temperature, weights);
    double expected_total = 0;
    for (std::size_t i = 0; i < logits.size(); ++i) {
      const double x = (logits[i] - largest) / temperature;
      const double expected = x < -700 ? 0 : std::exp(x);
      ASSERT_NEAR(weights[i], expected, x < -700 ? 0 : expected * (1e-15 - 3e-16 * x)) << x;
      expected_total += expected;
    }
    EXPECT_NEAR(total, expected_total, 1e-12 * expected_total);
  }
  EXPECT_EQ(weights[5], 0);
}

TEST(TokenLaw, TiesGoToTheLowestTokens) {
  const std::vector<float> equal(10, 0.5F);
  EXPECT_EQ(token_law(equal, {.top_k = 3}).tokens, (std::vector<std::int64_t>{0, 1, 2}));
  EXPECT_EQ(token_law(equal, {.nucleus_p = 0.35}).tokens, (std::vector<std::int64_t>{0, 1, 2, 3}));
  EXPECT_EQ(token_law(equal, {.nucleus_p = 0.35, .nucleus_rule = NucleusRule::kDrop}).tokens,
            (std::vector<std::int64_t>{0, 1, 2}));
  EXPECT_EQ(token_law(equal, {.nucleus_p = 0.05, .nucleus_rule = NucleusRule::kDrop}).tokens,
            (std::vector<std::int64_t>{0}));
  EXPECT_EQ(token_law(equal, {}).best, 0);
}

TEST(TokenLaw, FilteredLawIsTheSameFilter) {
  const auto logits = random_logits(50, 1.5, 3);
  const auto plain = testing::plain_law(logits, {});
  for (const TokenFilter& filter :
       {TokenFilter{}, TokenFilter{.temperature = 0.7}, TokenFilter{.top_k = 4, .nucleus_p = 0.8},
        TokenFilter{.nucleus_p = 0.6, .nucleus_rule = NucleusRule::kDrop}})
    expect_law(filtered_law(plain, filter), testing::plain_law(logits, filter));
  const TokenLaw greedy = filtered_law(plain, {.temperature = 0});
  EXPECT_EQ(greedy.tokens, std::vector<std::int64_t>{argmax_token(logits)});
}

TEST(TokenLaw, DrawIsThatOfTheLawWrittenDown) {
  const auto logits = random_logits(300, 2, 5);
  const TokenFilter filter{.nucleus_p = 0.95};
  const TokenLaw law = token_law(logits, filter);
  const auto plain = testing::plain_law(logits, filter);
  for (int i = 0; i < 1000; ++i) {
    const double uniform = i / 1000.0;
    EXPECT_EQ(draw_from(law, uniform).token, draw_token(plain, uniform));
  }
  EXPECT_EQ(draw_from(law, 0).token, law.tokens.front());
  EXPECT_EQ(draw_from(law, 1 - 1e-16).token, law.tokens.back());
}

TEST(TokenLaw, MarginIsTheDistanceFromAnotherDecision) {
  const TokenLaw law = filtered_law(std::vector<double>{0.5, 0.3, 0.2}, {});
  EXPECT_NEAR(draw_from(law, 0.45).margin, 0.05, 1e-15);
  EXPECT_NEAR(draw_from(law, 0.52).margin, 0.02, 1e-15);
  EXPECT_NEAR(draw_from(law, 0.95).margin, 0.15, 1e-15);
  EXPECT_NEAR(draw_from(law, 0).margin, 0.5, 1e-15);
  // Kept while the mass before is below 0.51: 0.5 is, 0.8 is not.
  EXPECT_NEAR(filtered_law(std::vector<double>{0.5, 0.3, 0.2}, {.nucleus_p = 0.51}).margin, 0.01,
              1e-15);
  EXPECT_NEAR(filtered_law(std::vector<double>{0.5, 0.26, 0.24}, {.top_k = 2}).margin, 0.02, 1e-15);
  EXPECT_EQ(filtered_law(std::vector<double>{0.5, 0.5}, {}).margin,
            std::numeric_limits<double>::infinity());
}

TEST(TokenLaw, Scores) {
  const TokenLaw law = filtered_law(std::vector<double>{0.25, 0.5, 0.0, 0.25}, {});
  EXPECT_EQ(law.tokens, (std::vector<std::int64_t>{0, 1, 3}));
  EXPECT_NEAR(top_two(law).first, 0.5, 1e-15);
  EXPECT_NEAR(top_two(law).second, 0.25, 1e-15);
  EXPECT_NEAR(negative_entropy(law), -1.5 * std::log(2), 1e-14);
  EXPECT_EQ(top_two(filtered_law(std::vector<double>{1}, {})).second, 0);
}

TEST(TokenLaw, RefusesLogitsThatAreNoNumbers) {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  EXPECT_THROW(token_law(std::vector<float>{0, nan}, {}), InternalError);
  EXPECT_THROW(token_law(std::vector<float>{}, {}), InternalError);
  EXPECT_THROW(filtered_law(std::vector<double>{0, 0}, {}), InternalError);
}

TEST(StopRules, EntropyOfCounts) {
  EXPECT_EQ(unigram_entropy(std::vector<std::int64_t>{}), 0);
  EXPECT_EQ(unigram_entropy(std::vector<std::int64_t>{4, 4, 4}), 0);
  EXPECT_NEAR(unigram_entropy(std::vector<std::int64_t>{1, 2, 2, 1}), std::log(2), 1e-15);
}

TEST(StopRules, FirstStopIdBehindThePrompt) {
  const std::vector<std::int64_t> text{9, 1, 9, 2, 9};
  const StopRules rules{.stop_ids = {9, 8}};
  EXPECT_EQ(find_stop(text, 1, 1, rules)->length, 3);
  EXPECT_EQ(find_stop(text, 1, 3, rules)->length, 5);
  EXPECT_EQ(find_stop(text, 1, 3, rules)->reason, Stop::kStopId);
  EXPECT_FALSE(find_stop(text, 5, 0, rules).has_value());
  EXPECT_FALSE(find_stop(text, 1, 1, {}).has_value());
}

TEST(StopRules, LowEntropyDropsTheLastTokens) {
  std::vector<std::int64_t> text;
  for (std::int64_t i = 0; i < 300; ++i) text.push_back(i);
  const StopRules rules{.stop_ids = {299}, .entropy_floor = 4};
  EXPECT_EQ(find_stop(text, 1, 290, rules)->reason, Stop::kStopId);
  for (std::int64_t i = 0; i < 260; ++i) text.push_back(i % 3);
  const auto stop = find_stop(text, 1, 300, rules);
  EXPECT_EQ(stop->reason, Stop::kEntropy);
  EXPECT_EQ(stop->length, 560 - 256);
  EXPECT_FALSE(find_stop(text, 305, 305, rules).has_value()) << "one of the 256 is the prompt's";
  EXPECT_EQ(find_stop(text, 304, 304, rules)->length, 304);
  EXPECT_FALSE(find_stop(std::vector<std::int64_t>(256, 1), 1, 0, rules).has_value());
}

}  // namespace
}  // namespace dlm
