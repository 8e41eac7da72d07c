// What the block loop writes follows the law that going through every state gives. Each
// chi-square's false-alarm rate is at most 1e-6 (tests/support/chi_square.h); seeds are fixed.
#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>
#include <utility>
#include <vector>

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <omp.h>

#include "models/exact/exact_denoiser.h"
#include "models/exact/policy_law.h"
#include "models/sampling/block_sampler.h"
#include "tests/support/chi_square.h"

namespace dlm {
namespace {

constexpr std::int64_t kVocab = 3;
constexpr std::int64_t kLength = 4;

TabularWorld small_world() {
  return TabularWorld({kVocab, kLength, 5, 2});
}

BlockSampleOptions sample_options(const PolicyLawOptions& options) {
  BlockSampleOptions sampling;
  sampling.block_size = options.block_size == 0 ? kLength : options.block_size;
  sampling.max_new_tokens = kLength;
  sampling.reveal = options.reveal;
  sampling.filter = options.filter;
  sampling.batch_size = 512;
  return sampling;
}

std::vector<std::int64_t> counts_of(const BlockSampleOptions& options, std::uint64_t draws) {
  omp_set_num_threads(1);  // rows are too cheap to share out
  const ExactDenoiser model(std::make_shared<TabularWorld>(small_world()));
  std::vector<Prompt> prompts;
  for (std::uint64_t i = 0; i < draws; ++i) prompts.push_back({.example = i});
  std::vector<std::int64_t> counts(81);
  for (const BlockSample& sample : sample_blocks(model, prompts, options)) {
    std::size_t cell = 0;
    for (const std::int64_t id : sample.ids) cell = cell * kVocab + static_cast<std::size_t>(id);
    ++counts.at(cell);
  }
  return counts;
}

void expect_law(const PolicyLawOptions& options, std::uint64_t draws) {
  SCOPED_TRACE(options.reveal.policy);
  testing::expect_follows(counts_of(sample_options(options), draws),
                          policy_law(small_world(), options));
}

std::vector<PolicyLawOptions> every_policy() {
  return {
      {4, {.policy = "first_hitting"}, {}},
      {2, {.policy = "first_hitting"}, {.nucleus_p = 0.8}},
      {4, {.policy = "ancestral", .steps = 3}, {}},
      {4, {.policy = "ancestral_reference", .steps = 3}, {.nucleus_p = 0.8}},
      {4, {.policy = "random", .tokens_per_step = 2}, {}},
      {4, {.policy = "random", .steps = 3}, {.top_k = 2}},
      {2, {.policy = "left_to_right", .tokens_per_step = 2}, {}},
      {4, {.policy = "confidence", .tokens_per_step = 2}, {}},
      {4, {.policy = "entropy", .tokens_per_step = 3}, {.temperature = 1.3}},
      {4, {.policy = "margin", .tokens_per_step = 2}, {}},
      {4, {.policy = "threshold", .threshold = 0.5}, {}},
      {1, {.policy = "left_to_right"}, {}},
      {4, {.policy = "entropy"}, {.nucleus_p = 0.9, .nucleus_rule = NucleusRule::kDrop}},
  };
}

TEST(BlockLaw, TextFollowsThePolicysLaw) {
  for (const PolicyLawOptions& options : every_policy()) expect_law(options, 4000);
}

TEST(BlockLawSlow, TextFollowsThePolicysLaw) {
  for (const PolicyLawOptions& options : every_policy()) expect_law(options, 200000);
}

TEST(BlockLawSlow, OneTokenPerStepFollowsTheJoint) {
  for (const char* policy : {"first_hitting", "confidence"}) {
    BlockSampleOptions options = sample_options({4, {.policy = policy}, {}});
    testing::expect_follows(counts_of(options, 200000), joint_law(small_world()));
  }
}

// Ancestral with many steps is first-hitting, which is the joint.
TEST(BlockLawSlow, ManyAncestralStepsFollowTheJoint) {
  testing::expect_follows(
      counts_of(sample_options({4, {.policy = "ancestral", .steps = 1000}, {}}), 200000),
      joint_law(small_world()));
}

// The check must be able to fail: two tokens per step are not the joint.
TEST(BlockLaw, ChiSquareTellsPoliciesApart) {
  const auto counts =
      counts_of(sample_options({4, {.policy = "random", .tokens_per_step = 4}, {}}), 20000);
  const auto joint = joint_law(small_world());
  double chi2 = 0;
  for (std::size_t i = 0; i < joint.size(); ++i)
    chi2 += std::pow(static_cast<double>(counts[i]) - 20000 * joint[i], 2) / (20000 * joint[i]);
  EXPECT_GT(chi2, testing::chi_square_limit(80));
}

// Notes the positions of every text's first step, in the order in which they are revealed.
class FirstPositions final : public TokenDraws {
 public:
  DrawnToken draw(const TokenLaw& law, const DrawName& name) override {
    if (name.step == 0)
      of[name.example].push_back(name.position);
    const RandomStream stream(3, Purpose::kTokenDraw, name.example);
    return draw_from(law, stream.uniform(name.step, static_cast<std::uint64_t>(name.position)));
  }

  std::map<std::uint64_t, std::vector<std::int64_t>> of;
};

// Dream's alg_temp: n positions without replacement, the weights of those left softmax(score /
// alg_temp). Two of four: p_i p_j / (1 - p_i) for each ordered pair.
TEST(BlockLaw, PositionTemperatureDrawsPositionsWithoutReplacement) {
  const TabularWorld world = small_world();
  const auto laws = world.conditionals(std::vector<std::int64_t>(kLength, -1));
  for (const char* name : {"confidence", "entropy", "margin"}) {
    RevealOptions reveal{.policy = name, .tokens_per_step = 2};
    const auto policy = make_reveal_policy(reveal);
    std::vector<double> weights;
    double sum = 0;
    for (std::size_t i = 0; i < kLength; ++i) {
      const TokenLaw law = filtered_law(std::span(laws).subspan(i * kVocab, kVocab), {});
      weights.push_back(std::exp(policy->score(law) / 0.1));
      sum += weights.back();
    }
    std::vector<double> pairs;
    for (std::size_t i = 0; i < kLength; ++i) {
      for (std::size_t j = 0; j < kLength; ++j)
        pairs.push_back(i == j ? 0 : weights[i] / sum * weights[j] / (sum - weights[i]));
    }
    EXPECT_GT(*std::max_element(weights.begin(), weights.end()),
              1.3 * *std::min_element(weights.begin(), weights.end()))
        << "weights that are all alike";
    FirstPositions seen;
    BlockSampleOptions options = sample_options({4, reveal, {}});
    options.reveal.position_temperature = 0.1;
    options.hooks.draws = &seen;
    counts_of(options, 20000);
    std::vector<std::int64_t> counts(kLength * kLength);
    for (const auto& [example, positions] : seen.of)
      ++counts.at(static_cast<std::size_t>(positions.at(0) * kLength + positions.at(1)));
    SCOPED_TRACE(name);
    testing::expect_follows(counts, pairs);
  }
}

// Refreshes the laws of a step by what it has revealed: then any number of tokens per step is one.
class ExactRefresh final : public Refresh {
 public:
  explicit ExactRefresh(const ExactWorld& world) : world_(world) {}

  void refresh(std::span<RefreshRow> rows) override {
    for (RefreshRow& row : rows) {
      std::vector<std::int64_t> known(row.ids.begin(), row.ids.end());
      for (std::int64_t& id : known) id = id == kVocab ? -1 : id;
      EXPECT_GE(known.at(static_cast<std::size_t>(row.begin + row.revealed)), 0);
      const auto laws = world_.conditionals(known);
      for (std::size_t i = 0; i < row.wanted.size(); ++i) {
        const auto from = static_cast<std::size_t>((row.begin + row.wanted[i]) * kVocab);
        for (std::size_t v = 0; v < kVocab; ++v)
          row.logits[i][v] = static_cast<float>(std::log(laws[from + v]));
      }
      ++calls;
    }
  }

  std::int64_t calls = 0;

 private:
  const ExactWorld& world_;
};

TEST(BlockLaw, ARefreshedStepFollowsTheJoint) {
  const TabularWorld world = small_world();
  for (const char* policy : {"random", "entropy", "left_to_right"}) {
    ExactRefresh refresh(world);
    BlockSampleOptions options = sample_options({4, {.policy = policy, .tokens_per_step = 4}, {}});
    options.hooks.refresh = &refresh;
    testing::expect_follows(counts_of(options, 20000), joint_law(world));
    EXPECT_EQ(refresh.calls, 3 * 20000) << "no call after the last reveal";
  }
}

// Adds to `law` the texts that come of `text` where each step draws a token at every hidden
// position (-1) and keeps the most probable one, the first of equals.
void add_kept_draws(const TabularWorld& world, std::vector<std::int64_t> text, double probability,
                    std::vector<double>& law) {
  std::vector<std::size_t> hidden;
  std::size_t cell = 0, draws = 1;
  for (std::size_t i = 0; i < text.size(); ++i) {
    cell = cell * kVocab + static_cast<std::size_t>(std::max<std::int64_t>(0, text[i]));
    if (text[i] < 0) {
      hidden.push_back(i);
      draws *= kVocab;
    }
  }
  if (hidden.empty()) {
    law.at(cell) += probability;
    return;
  }
  const auto laws = world.conditionals(text);
  std::map<std::pair<std::size_t, std::int64_t>, double> kept;
  for (std::size_t draw = 0; draw < draws; ++draw) {
    double of_draw = 1, best = -1;
    std::pair<std::size_t, std::int64_t> place;
    std::size_t rest = draw;
    for (const std::size_t i : hidden) {
      const std::size_t token = rest % kVocab;
      rest /= kVocab;
      const double p = laws[i * kVocab + token];
      of_draw *= p;
      if (p > best) {
        best = p;
        place = {i, static_cast<std::int64_t>(token)};
      }
    }
    kept[place] += of_draw;
  }
  for (const auto& [place, share] : kept) {
    std::vector<std::int64_t> next = text;
    next[place.first] = place.second;
    add_kept_draws(world, next, probability * share, law);
  }
}

TEST(BlockLaw, ARefreshedStepDrawsAnewWhatItRanks) {
  const TabularWorld world = small_world();
  std::vector<double> law(81);
  add_kept_draws(world, std::vector<std::int64_t>(kLength, -1), 1, law);
  for (const char* policy : {"maskgit_plus", "low_confidence"}) {
    for (const std::int64_t K : {1, 2, 4}) {
      ExactRefresh refresh(world);
      BlockSampleOptions options =
          sample_options({4, {.policy = policy, .tokens_per_step = K}, {}});
      options.hooks.refresh = &refresh;
      SCOPED_TRACE(fmt::format("{} {}", policy, K));
      testing::expect_follows(counts_of(options, 15000), law);
    }
  }
}

// The order of two reveals of a step: the second by the laws that the first one's token left.
TEST(BlockLaw, ARefreshedStepDrawsItsPositionsAnew) {
  constexpr double kTemperature = 0.2;
  const TabularWorld world = small_world();
  const auto policy = make_reveal_policy({.policy = "confidence"});
  const auto weights_given = [&](const std::vector<std::int64_t>& known) {
    const auto laws = world.conditionals(known);
    std::vector<double> weights;
    for (std::size_t i = 0; i < kLength; ++i) {
      const TokenLaw law = filtered_law(std::span(laws).subspan(i * kVocab, kVocab), {});
      weights.push_back(known[i] < 0 ? std::exp(policy->score(law) / kTemperature) : 0);
    }
    const double sum = std::accumulate(weights.begin(), weights.end(), 0.0);
    for (double& weight : weights) weight /= sum;
    return weights;
  };
  const std::vector<std::int64_t> nothing(kLength, -1);
  const auto marginals = world.conditionals(nothing);
  const auto first = weights_given(nothing);
  std::vector<double> pairs(kLength * kLength);
  for (std::size_t i = 0; i < kLength; ++i) {
    for (std::size_t v = 0; v < kVocab; ++v) {
      std::vector<std::int64_t> known = nothing;
      known[i] = static_cast<std::int64_t>(v);
      const auto second = weights_given(known);
      for (std::size_t j = 0; j < kLength; ++j)
        pairs[i * kLength + j] += first[i] * marginals[i * kVocab + v] * second[j];
    }
  }
  FirstPositions seen;
  ExactRefresh refresh(world);
  BlockSampleOptions options =
      sample_options({4, {.policy = "confidence", .tokens_per_step = 2}, {}});
  options.reveal.position_temperature = kTemperature;
  options.hooks.draws = &seen;
  options.hooks.refresh = &refresh;
  counts_of(options, 40000);
  std::vector<std::int64_t> counts(kLength * kLength);
  for (const auto& [example, positions] : seen.of)
    ++counts.at(static_cast<std::size_t>(positions.at(0) * kLength + positions.at(1)));
  testing::expect_follows(counts, pairs);
}

}  // namespace
}  // namespace dlm
