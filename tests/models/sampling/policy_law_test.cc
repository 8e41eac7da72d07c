// Laws of samplers in closed form, and what each policy may choose.
#include "models/exact/policy_law.h"

#include <cmath>
#include <map>
#include <numeric>

#include <gtest/gtest.h>

#include "harness/base/error.h"

namespace dlm {
namespace {

using Law = std::vector<double>;

TabularWorld world_of(std::int64_t vocab_size, std::int64_t length, double concentration = 0.5) {
  return TabularWorld({vocab_size, length, 7, concentration});
}

RevealOptions reveal(std::string policy, std::int64_t per_step = 1, std::int64_t steps = 0) {
  return {std::move(policy), per_step, steps, 0.9};
}

double divergence(const TabularWorld& world, const PolicyLawOptions& options) {
  return kl_divergence(joint_law(world), policy_law(world, options));
}

const std::vector<std::string> kOnePerStep = {"first_hitting", "random",  "left_to_right",
                                              "confidence",    "entropy", "margin"};
const std::vector<std::string> kManyPerStep = {"random", "left_to_right", "confidence", "entropy",
                                               "margin"};

TEST(PolicyLaw, OneTokenPerStepIsTheJoint) {
  const TabularWorld world = world_of(3, 4);
  for (const std::string& policy : kOnePerStep) {
    for (const std::int64_t block_size : {1, 2, 4}) {
      const Law law = policy_law(world, {block_size, reveal(policy), {}});
      const Law joint = joint_law(world);
      for (std::size_t i = 0; i < law.size(); ++i)
        ASSERT_NEAR(law[i], joint[i], 1e-14) << policy << " " << block_size;
    }
  }
}

TEST(PolicyLaw, OneStepCostsTheTotalCorrelation) {
  for (const std::int64_t length : {2, 4, 8}) {
    const TabularWorld world = world_of(length == 8 ? 2 : 4, length);
    const double correlation = world.total_correlation(length);
    EXPECT_GT(correlation, 0.01);
    for (const std::string& policy : kManyPerStep) {
      EXPECT_NEAR(divergence(world, {0, reveal(policy, length), {}}), correlation, 1e-10) << policy;
      EXPECT_NEAR(divergence(world, {0, reveal(policy, 1, 1), {}}), correlation, 1e-10) << policy;
    }
    EXPECT_NEAR(divergence(world, {0, reveal("ancestral", 1, 1), {}}), correlation, 1e-10);
  }
}

TEST(PolicyLaw, BlocksOfOneStepCostTheirOwnCorrelation) {
  const TabularWorld world = world_of(3, 4);
  // KL of blocks (X1 X2)(X3 X4), each from its marginals given the earlier block.
  double expected = world.entropy(1) * 0;
  const Law joint = joint_law(world);
  for (std::size_t cell = 0; cell < joint.size(); ++cell) {
    const std::vector<std::int64_t> ids = {
        static_cast<std::int64_t>(cell / 27), static_cast<std::int64_t>(cell / 9 % 3),
        static_cast<std::int64_t>(cell / 3 % 3), static_cast<std::int64_t>(cell % 3)};
    const auto first = world.marginals(2);
    const auto second = world.conditionals(std::vector<std::int64_t>{ids[0], ids[1], -1, -1});
    const auto at = [](const std::vector<double>& laws, std::size_t row, std::int64_t id) {
      return laws[row * 3 + static_cast<std::size_t>(id)];
    };
    const double q =
        at(first, 0, ids[0]) * at(first, 1, ids[1]) * at(second, 2, ids[2]) * at(second, 3, ids[3]);
    expected += joint[cell] * std::log(joint[cell] / q);
  }
  EXPECT_NEAR(divergence(world, {2, reveal("random", 2), {}}), expected, 1e-12);
  EXPECT_LT(expected, world.total_correlation(4));
}

TEST(PolicyLaw, AncestralApproachesTheJointWithItsSteps) {
  const TabularWorld world = world_of(3, 3);
  double before = std::numeric_limits<double>::infinity();
  for (const std::int64_t steps : {1, 2, 4, 16, 64}) {
    const double now = divergence(world, {0, reveal("ancestral", 1, steps), {}});
    EXPECT_LT(now, before) << steps;
    before = now;
  }
  // The chance that two of three tokens share a step is about 3 / T.
  EXPECT_LT(divergence(world, {0, reveal("ancestral", 1, 4000), {}}), 1e-6);
  EXPECT_NEAR(divergence(world, {0, reveal("first_hitting"), {}}), 0, 1e-13);
}

TEST(PolicyLaw, CorrelatedPairCostsLogTwo) {
  const TabularWorld world(2, 2, {0.5, 0, 0, 0.5});
  EXPECT_NEAR(divergence(world, {0, reveal("random", 2), {}}), std::log(2), 1e-15);
  EXPECT_NEAR(divergence(world, {0, reveal("random", 1), {}}), 0, 1e-15);
  // The second token is certain once the first is known, and only then.
  RevealOptions threshold = reveal("threshold");
  EXPECT_NEAR(divergence(world, {0, threshold, {}}), 0, 1e-15);
  threshold.threshold = 0.4;
  EXPECT_NEAR(divergence(world, {0, threshold, {}}), std::log(2), 1e-15);
}

// Token 0 never occurs, so what is 0 was left over at the last step. Shares: bd3lm.md 3.3,
// prod over j < T of 1 - (T - 1) / (T j).
TEST(PolicyLaw, PublishedLastStepWritesTokensThatCannotOccur) {
  Law joint(27, 0.0);
  for (const std::size_t cell : {13U, 14U, 16U, 17U, 22U, 23U, 25U, 26U}) joint[cell] = 0.125;
  const TabularWorld world(3, 3, joint);
  const auto zero_share = [&](const char* policy, std::int64_t steps) {
    const Law law = policy_law(world, {0, reveal(policy, 1, steps), {.nucleus_p = 0.99}});
    return std::accumulate(law.begin(), law.begin() + 9, 0.0);
  };
  for (const auto& [steps, share] : std::map<std::int64_t, double>{
           {1, 0}, {2, 0.5}, {3, 0.222}, {4, 0.117}, {6, 0.046}, {8, 0.024}}) {
    EXPECT_NEAR(zero_share("ancestral_reference", steps), share, 6e-4) << steps;
    EXPECT_EQ(zero_share("ancestral", steps), 0) << steps;
  }
}

TEST(PolicyLaw, FiltersActOnEveryConditional) {
  const TabularWorld world = world_of(3, 2, 2);
  const TokenFilter filter{.temperature = 0.5};
  const Law law = policy_law(world, {1, reveal("left_to_right"), filter});
  const auto sharpened = [](const std::vector<double>& p) {
    Law q;
    double total = 0;
    for (const double x : p) total += x * x;
    for (const double x : p) q.push_back(x * x / total);
    return q;
  };
  for (std::int64_t first = 0; first < 3; ++first) {
    const double p = sharpened(world.next_law({}))[static_cast<std::size_t>(first)];
    const auto next = sharpened(world.next_law(std::vector<std::int64_t>{first}));
    for (std::size_t second = 0; second < 3; ++second)
      EXPECT_NEAR(law[static_cast<std::size_t>(first) * 3 + second], p * next[second], 1e-14);
  }
}

// All but those of policies whose reveals depend on what was drawn.
TEST(PolicyLaw, EveryLawSumsToOne) {
  const TabularWorld world = world_of(3, 4);
  for (const std::string& policy : reveal_policy_names()) {
    const bool timed = policy.starts_with("ancestral") || policy == "origin";
    if (policy == "maskgit_plus" || policy == "low_confidence") {
      EXPECT_THROW(policy_law(world, {2, reveal(policy, 1), {}}), ConfigError) << policy;
      continue;
    }
    for (const TokenFilter& filter : {TokenFilter{}, TokenFilter{.temperature = 0},
                                      TokenFilter{.temperature = 1.2, .nucleus_p = 0.8}}) {
      const Law law = policy_law(world, {2, reveal(policy, 1, timed ? 3 : 0), filter});
      EXPECT_NEAR(std::accumulate(law.begin(), law.end(), 0.0), 1, 1e-12) << policy;
    }
  }
}

TEST(PolicyLaw, RefusesWhatItCannotWalk) {
  const TabularWorld world = world_of(3, 4);
  EXPECT_THROW(policy_law(world, {3, reveal("random"), {}}), ConfigError);
  EXPECT_THROW(policy_law(world, {-1, reveal("random"), {}}), ConfigError);
  EXPECT_THROW(policy_law(world, {2, reveal("random"), {.nucleus_p = 0}}), ConfigError);
  EXPECT_THROW(policy_law(TabularWorld({6, 9, 1, 1}), {0, reveal("random"), {}}), ConfigError);
}

// Whatever a policy chooses is one of its outcomes, as often as it says (false-alarm rate of each
// share below 1e-6: five and a half standard deviations).
TEST(RevealPolicy, ChoicesFollowTheirOutcomes) {
  const std::vector<std::int64_t> hidden = {0, 2, 3, 7};
  constexpr int kDraws = 20000;
  const RandomStream stream(1, Purpose::kPositionDraw, 0);
  for (const RevealOptions& options :
       {reveal("first_hitting"), reveal("ancestral", 1, 3), reveal("ancestral_reference", 1, 5),
        reveal("random", 2), reveal("random", 9), reveal("random", 1, 3),
        reveal("left_to_right", 3)}) {
    const auto policy = make_reveal_policy(options);
    const BlockState state{hidden, 8, 1, 0.7};
    std::map<std::vector<std::int64_t>, double> expected;
    for (auto outcome : policy->outcomes(state)) {
      std::sort(outcome.positions.begin(), outcome.positions.end());
      expected[outcome.positions] += outcome.probability;
    }
    std::map<std::vector<std::int64_t>, int> seen;
    for (int i = 0; i < kDraws; ++i) {
      auto positions = policy->choose(state, {stream, static_cast<std::uint64_t>(i)}).positions;
      std::sort(positions.begin(), positions.end());
      ASSERT_TRUE(expected.contains(positions)) << options.policy;
      ++seen[positions];
    }
    for (const auto& [positions, p] : expected) {
      const double share = static_cast<double>(seen[positions]) / kDraws;
      EXPECT_NEAR(share, p, 5.5 * std::sqrt(p * (1 - p) / kDraws) + 1e-12) << options.policy;
    }
  }
}

TEST(RevealPolicy, StepsShareTheBlockOut) {
  const std::vector<std::int64_t> ten = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9};
  const auto policy = make_reveal_policy(reveal("left_to_right", 1, 4));
  const RandomStream stream(1, Purpose::kPositionDraw, 0);
  std::vector<std::size_t> counts;
  std::span<const std::int64_t> hidden = ten;
  for (std::int64_t step = 0; !hidden.empty(); ++step) {
    const Reveal reveal = policy->choose({hidden, 10, step, 1}, {stream, 0});
    counts.push_back(reveal.positions.size());
    hidden = hidden.subspan(reveal.positions.size());
  }
  EXPECT_EQ(counts, (std::vector<std::size_t>{3, 3, 2, 2}));
}

TEST(RevealPolicy, FirstHittingTimeIsThatOfTheLastOfUniformTimes) {
  const std::vector<std::int64_t> hidden = {0, 1, 2};
  const auto policy = make_reveal_policy(reveal("first_hitting"));
  const RandomStream stream(1, Purpose::kPositionDraw, 0);
  const Reveal reveal = policy->choose({hidden, 4, 1, 0.5}, {stream, 9});
  EXPECT_DOUBLE_EQ(reveal.t, 0.5 * std::cbrt(1 - stream.uniform(9, 1)));
}

TEST(RevealPolicy, RefusesOptionsOutOfRangeOrUnread) {
  const auto refused = [](const RevealOptions& options, const std::string& field) {
    try {
      make_reveal_policy(options);
      ADD_FAILURE() << options.policy << " accepted";
    } catch (const ConfigError& error) {
      EXPECT_NE(std::string(error.what()).find(field), std::string::npos) << error.what();
    }
  };
  refused(reveal("first_hiting"), "first_hitting");
  refused(reveal("random", 0), "tokens_per_step");
  refused(reveal("random", -3), "tokens_per_step");
  refused(reveal("ancestral", 1, 0), "steps");
  refused(reveal("ancestral", 1, -1), "steps");
  refused(reveal("ancestral", 2, 4), "tokens_per_step");
  refused(reveal("random", 2, 4), "tokens_per_step");
  refused(reveal("first_hitting", 2), "tokens_per_step");
  refused(reveal("first_hitting", 1, 5), "steps");
  for (const double threshold : {0.0, 1.0, -1.0, std::nan("")})
    refused({"threshold", 1, 0, threshold}, "threshold");
  // A drawn position's score is no probability, and a threshold would be met by noise.
  for (const char* policy : {"threshold", "factor", "factor_reference", "random", "origin"}) {
    RevealOptions drawn = reveal(policy, 1, std::string(policy) == "origin" ? 4 : 0);
    EXPECT_NO_THROW(make_reveal_policy(drawn)) << policy;
    drawn.position_temperature = 0.01;
    refused(drawn, "position_temperature");
  }
}

}  // namespace
}  // namespace dlm
