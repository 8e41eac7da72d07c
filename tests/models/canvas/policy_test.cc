// Schedules, policies and filters of Dream, LLaDA and Fast-dLLM, against what is known of them.
#include <algorithm>
#include <cmath>
#include <memory>
#include <numeric>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "harness/base/error.h"
#include "models/diffusion/published_draws.h"
#include "models/sampling/reveal_policy.h"
#include "models/sampling/reveal_schedule.h"
#include "models/sampling/token_law.h"
#include "tests/support/plain_law.h"

namespace dlm::testing {
namespace {

using Counts = std::vector<std::int64_t>;

// What each step of a block of n tokens reveals.
Counts reveals(std::int64_t n, const RevealOptions& options, std::int64_t steps) {
  const RevealSchedule schedule(options);
  Counts counts;
  std::vector<std::int64_t> hidden(static_cast<std::size_t>(n));
  std::iota(hidden.begin(), hidden.end(), std::int64_t{0});
  for (std::int64_t step = 0; step < steps; ++step) {
    counts.push_back(hidden.empty() ? 0 : schedule.at({hidden, n, step, 1}));
    hidden.resize(hidden.size() - static_cast<std::size_t>(counts.back()));
  }
  EXPECT_TRUE(hidden.empty());
  return counts;
}

// `firsts` steps of K - 1, `times` of K, one of K + 1.
Counts dream_table(std::int64_t K, std::size_t firsts, std::size_t times) {
  Counts counts(firsts + times + 1, K);
  std::fill_n(counts.begin(), firsts, K - 1);
  counts.back() = K + 1;
  return counts;
}

RevealOptions dream_schedule(std::int64_t K) {
  RevealOptions options;
  options.policy = "entropy";
  options.tokens_per_step = K;
  options.schedule = "dream";
  return options;
}

TEST(RevealScheduleTest, DreamRevealsOneLessFirstAndOneMoreLast) {
  EXPECT_EQ(reveals(128, dream_schedule(1), 128), dream_table(1, 1, 126));
  EXPECT_EQ(reveals(128, dream_schedule(2), 64), dream_table(2, 1, 62));
  EXPECT_EQ(reveals(128, dream_schedule(4), 32), dream_table(4, 1, 30));
  EXPECT_EQ(reveals(128, dream_schedule(8), 16), dream_table(8, 1, 14));
  EXPECT_EQ(reveals(127, dream_schedule(4), 32), dream_table(4, 2, 29));
  EXPECT_EQ(reveals(127, dream_schedule(8), 16), dream_table(8, 2, 13));
}

TEST(RevealScheduleTest, ExactRevealsK) {
  RevealOptions options = dream_schedule(4);
  options.schedule = "exact";
  EXPECT_EQ(reveals(10, options, 3), (Counts{4, 4, 2}));
  options.tokens_per_step = 1;
  options.steps = 4;
  EXPECT_EQ(reveals(10, options, 4), (Counts{3, 3, 2, 2}));
}

TEST(RevealScheduleTest, RefusesWhatItDoesNotKnow) {
  RevealOptions options = dream_schedule(4);
  options.schedule = "dreamy";
  EXPECT_THROW(make_reveal_policy(options), ConfigError);
  options = dream_schedule(1);
  options.policy = "threshold";
  EXPECT_THROW(make_reveal_policy(options), ConfigError);
  options = dream_schedule(1);
  options.eps = 1;
  EXPECT_THROW(make_reveal_policy(options), ConfigError);
}

std::int64_t revealed(const std::string& policy, const RevealOptions& settings,
                      const std::vector<double>& scores) {
  RevealOptions options = settings;
  options.policy = policy;
  std::vector<std::int64_t> hidden(scores.size());
  std::iota(hidden.begin(), hidden.end(), std::int64_t{0});
  return make_reveal_policy(options)->count({hidden, std::ssize(scores), 0, 1}, scores);
}

TEST(FactorPolicy, RevealsTheLongestRunThatPasses) {
  RevealOptions options;
  // (n + 1)(1 - c) <= 1: c of the second at least 2/3, of the third 3/4, of the fourth 4/5.
  EXPECT_EQ(revealed("factor", options, {0.1, 0.1, 0.1, 0.1}), 1);
  EXPECT_EQ(revealed("factor", options, {0.9, 0.7, 0.74, 0.9}), 2);
  EXPECT_EQ(revealed("factor", options, {0.9, 0.9, 0.9, 0.79}), 3);
  EXPECT_EQ(revealed("factor", options, {0.9, 0.9, 0.9, 0.81}), 4);
  options.factor = 2;
  EXPECT_EQ(revealed("factor", options, {0.9, 0.4, 0.4, 0.4}), 2);
}

TEST(FactorPolicy, AsPublishedTheLastOneIsFree) {
  const RevealOptions options;
  EXPECT_EQ(revealed("factor_reference", options, {0.9, 0.9, 0.9, 0.1}), 4);
  EXPECT_EQ(revealed("factor_reference", options, {0.9, 0.9, 0.1, 0.1}), 2);
  EXPECT_EQ(revealed("factor_reference", options, {0.9}), 1);
}

TEST(ThresholdPolicy, StepsCapWhatItReveals) {
  RevealOptions options;
  options.threshold = 0.5;
  EXPECT_EQ(revealed("threshold", options, {0.9, 0.8, 0.7, 0.6}), 4);
  options.steps = 2;
  EXPECT_EQ(revealed("threshold", options, {0.9, 0.8, 0.7, 0.6}), 2);
  EXPECT_EQ(revealed("threshold", options, {0.4, 0.3, 0.2, 0.1}), 1);
}

// How many tokens a filter keeps; its law is that of full sorts.
std::int64_t kept_by(const std::vector<float>& logits, const TokenFilter& filter) {
  const TokenLaw law = token_law(logits, filter);
  const std::vector<double> mine = dense(law, logits.size());
  const std::vector<double> plain = plain_law(logits, filter);
  for (std::size_t v = 0; v < plain.size(); ++v) EXPECT_NEAR(mine[v], plain[v], 1e-12);
  return std::ssize(law.tokens);
}

// p = .5, .25, .125, .125: with top-p .7 of all the crossing token .25 stays; of the three that
// top-k leaves (masses .571, .286, .143) the nucleus is the first two as well, but of p = .6 only
// the first crosses after top-k of one.
TEST(FilterOrderTest, NucleusBeforeOrAfterTopK) {
  const std::vector<float> logits = {std::log(.5F), std::log(.25F), std::log(.125F),
                                     std::log(.125F)};
  TokenFilter filter;
  filter.nucleus_p = 0.8;  // of all: three tokens; of the top two (.667, .333): two
  filter.top_k = 3;
  filter.order = FilterOrder::kNucleusFirst;
  EXPECT_EQ(kept_by(logits, filter), 3);
  filter.top_k = 2;
  EXPECT_EQ(kept_by(logits, filter), 2);
  filter.nucleus_p = 0.6;  // of all: .5 < .6, so the second crosses and stays; of the top two: the
  EXPECT_EQ(kept_by(logits, filter), 2);  // first has .667 and crosses alone
  EXPECT_NEAR(token_law(logits, filter).probabilities[0], 2.0 / 3, 1e-7);
  filter.order = FilterOrder::kTopKFirst;
  EXPECT_EQ(kept_by(logits, filter), 1);
}

TEST(LladaMaskCounts, SpreadOverTheAnswer) {
  EXPECT_EQ(llada_mask_counts(1, 8, 4), (Counts{1, 3, 5, 7}));
  EXPECT_EQ(llada_mask_counts(7, 8, 4), (Counts{7, 1, 3, 5}));
  EXPECT_EQ(llada_mask_counts(8, 8, 1), (Counts{8}));
  EXPECT_EQ(llada_mask_counts(9, 9, 4), (Counts{9, 2, 5, 7}));  // 11.25, 13.5 -> 14, 15.75 -> 16
}

}  // namespace
}  // namespace dlm::testing
