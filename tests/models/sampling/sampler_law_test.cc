// What the sampler writes follows the law it says: chi-square against a world whose law is known.
// Each test's false-alarm rate is at most 1e-6 (tests/support/chi_square.h), and the seeds are
// fixed.
#include <cmath>
#include <numeric>

#include <gtest/gtest.h>

#include "models/exact/exact_world.h"
#include "models/sampling/autoregressive.h"
#include "tests/support/chi_square.h"

namespace dlm {
namespace {

using Law = std::vector<double>;

constexpr std::int64_t kVocab = 3;
constexpr std::int64_t kLength = 4;
constexpr std::uint64_t kDraws = 30000;

// The filter written once more, on probabilities of three tokens: each rank's fate is decided by
// the mass of what ranks above it.
Law filtered(const Law& law, const TokenFilter& filter) {
  Law kept(law.size(), 0.0);
  Law powered;
  for (double p : law) powered.push_back(std::pow(p, 1 / filter.temperature));
  const auto above = [&](std::size_t i, const Law& weights) {
    std::vector<std::size_t> higher;
    for (std::size_t j = 0; j < weights.size(); ++j) {
      if (weights[j] > weights[i] || (weights[j] == weights[i] && j < i))
        higher.push_back(j);
    }
    return higher;
  };
  for (std::size_t i = 0; i < law.size(); ++i) {
    if (filter.top_k == 0 || std::ssize(above(i, powered)) < filter.top_k)
      kept[i] = powered[i];
  }
  const double total = std::accumulate(kept.begin(), kept.end(), 0.0);
  Law result(law.size(), 0.0);
  for (std::size_t i = 0; i < law.size(); ++i) {
    double mass = filter.nucleus_rule == NucleusRule::kDrop ? kept[i] / total : 0;
    const auto higher = above(i, kept);
    for (std::size_t j : higher) mass += kept[j] / total;
    const bool inside = filter.nucleus_rule == NucleusRule::kKeep ? mass < filter.nucleus_p
                                                                  : mass <= filter.nucleus_p;
    if (higher.empty() || inside)
      result[i] = kept[i];
  }
  const double rest = std::accumulate(result.begin(), result.end(), 0.0);
  for (double& p : result) p /= rest;
  return result;
}

std::size_t cell_of(std::span<const std::int64_t> ids) {
  std::size_t cell = 0;
  for (std::int64_t id : ids) cell = cell * kVocab + static_cast<std::size_t>(id);
  return cell;
}

std::vector<std::int64_t> ids_of(std::size_t cell, std::size_t length) {
  std::vector<std::int64_t> ids(length);
  for (std::size_t i = length; i-- > 0; cell /= kVocab)
    ids[i] = static_cast<std::int64_t>(cell % kVocab);
  return ids;
}

// The law of the continuation of `prompt` to kLength tokens: products of filtered conditionals.
Law exact_law(const ExactWorld& world, const std::vector<std::int64_t>& prompt,
              const TokenFilter& filter) {
  const std::size_t rest = static_cast<std::size_t>(kLength) - prompt.size();
  Law law(static_cast<std::size_t>(std::pow(kVocab, rest)));
  for (std::size_t cell = 0; cell < law.size(); ++cell) {
    double p = 1;
    auto ids = prompt;
    for (std::int64_t token : ids_of(cell, rest)) {
      p *= filtered(world.next_law(ids), filter)[static_cast<std::size_t>(token)];
      ids.push_back(token);
    }
    law[cell] = p;
  }
  return law;
}

void expect_law(const std::vector<std::int64_t>& prompt, const TokenFilter& filter) {
  const auto world = make_exact_world("exact:tabular?v=3&l=4&seed=5&concentration=2");
  std::vector<Prompt> prompts;
  for (std::uint64_t i = 0; i < kDraws; ++i) prompts.push_back({.ids = prompt, .example = i});
  const auto results =
      generate(*world, prompts, {.max_new_tokens = 9, .filter = filter, .batch_size = 1000});
  const Law law = exact_law(*world, prompt, filter);
  std::vector<std::int64_t> counts(law.size());
  for (const Continuation& result : results) ++counts.at(cell_of(result.ids));
  testing::expect_follows(counts, law);
}

TEST(SamplerLaw, UnfilteredTextFollowsTheJoint) {
  const auto world = make_exact_world("exact:tabular?v=3&l=4&seed=5&concentration=2");
  const Law law = exact_law(*world, {}, {});
  for (std::size_t cell = 0; cell < law.size(); ++cell)
    EXPECT_NEAR(law[cell], std::exp(world->log_probability(ids_of(cell, kLength))), 1e-14);
  expect_law({}, {});
}

TEST(SamplerLaw, PromptConditions) {
  expect_law({2}, {});
  expect_law({1, 0}, {});
}

TEST(SamplerLaw, Temperature) {
  expect_law({}, {.temperature = 0.6});
  expect_law({}, {.temperature = 1.7});
}

TEST(SamplerLaw, TopK) {
  expect_law({}, {.top_k = 2});
}

TEST(SamplerLaw, NucleusBothRules) {
  expect_law({}, {.nucleus_p = 0.7, .nucleus_rule = NucleusRule::kKeep});
  expect_law({}, {.nucleus_p = 0.9, .nucleus_rule = NucleusRule::kDrop});
}

TEST(SamplerLaw, AllTogether) {
  expect_law({}, {.temperature = 1.3, .top_k = 2, .nucleus_p = 0.6});
}

// The check itself must be able to fail: text drawn at one temperature against the law of another.
TEST(SamplerLaw, ChiSquareTellsLawsApart) {
  const auto world = make_exact_world("exact:tabular?v=3&l=4&seed=5&concentration=2");
  std::vector<Prompt> prompts;
  for (std::uint64_t i = 0; i < kDraws; ++i) prompts.push_back({.example = i});
  const auto results = generate(*world, prompts, {.max_new_tokens = 4, .batch_size = 1000});
  const Law law = exact_law(*world, {}, {.temperature = 1.2});
  double chi2 = 0;
  std::vector<double> counts(law.size());
  for (const Continuation& result : results) counts.at(cell_of(result.ids)) += 1;
  for (std::size_t i = 0; i < law.size(); ++i)
    chi2 += std::pow(counts[i] - kDraws * law[i], 2) / (kDraws * law[i]);
  EXPECT_GT(chi2, testing::chi_square_limit(std::ssize(law) - 1));
}

}  // namespace
}  // namespace dlm
