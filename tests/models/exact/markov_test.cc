#include "models/exact/markov.h"

#include <cmath>
#include <numeric>

#include <gtest/gtest.h>

#include "harness/base/error.h"
#include "models/exact/tabular.h"
#include "tests/models/exact/sequences.h"

namespace dlm {
namespace {

using testing::all_sequences;
using testing::error_of;
using testing::expect_near;
using testing::Ids;
using testing::Law;

// The first `length` tokens of `world` as a table of all sequences.
TabularWorld enumerated(const MarkovWorld& world, std::int64_t length) {
  Law joint;
  const std::int64_t V = world.info().vocab_size;
  for (const Ids& ids : all_sequences(static_cast<std::size_t>(length), 0, V))
    joint.push_back(std::exp(world.log_probability(ids)));
  return TabularWorld(V, length, joint);
}

MarkovWorld started_elsewhere() {
  return MarkovWorld({0.1, 0.6, 0.3, 0.5, 0.2, 0.3, 0.0, 0.9, 0.1}, Law{0.7, 0.3, 0.0});
}

// P = [[1 - a, a], [b, 1 - b]]: pi = (b, a) / (a + b), rate = pi_0 h(a) + pi_1 h(b).
TEST(MarkovWorld, TwoStatesHaveTheClosedForm) {
  const double a = 0.2;
  const double b = 0.05;
  const MarkovWorld world({1 - a, a, b, 1 - b}, std::nullopt);
  expect_near(world.stationary(), {b / (a + b), a / (a + b)}, 1e-15);
  const auto h = [](double p) { return -p * std::log(p) - (1 - p) * std::log(1 - p); };
  const double rate = (b * h(a) + a * h(b)) / (a + b);
  EXPECT_NEAR(world.entropy_rate(), rate, 1e-15);
  EXPECT_NEAR(world.entropy(1), h(a / (a + b)), 1e-15);
  EXPECT_NEAR(world.entropy(100), h(a / (a + b)) + 99 * rate, 1e-12);
  EXPECT_NEAR(world.entropy_per_token(1000000), rate, 1e-6);
}

// p(x_i | both ends) of a symmetric two-state chain from its eigenvalue r = 1 - 2a:
// p(same after n steps) = (1 + r^n) / 2.
TEST(MarkovWorld, LongGapsHaveTheClosedForm) {
  const double a = 0.01;
  const MarkovWorld world({1 - a, a, a, 1 - a}, std::nullopt);
  Ids known(2001, -1);
  known.front() = 0;
  known.back() = 0;
  const Law laws = world.conditionals(known);
  const auto same = [&](double n) { return (1 + std::pow(1 - 2 * a, n)) / 2; };
  for (std::size_t i : {1U, 10U, 1000U, 1999U}) {
    const double left = same(static_cast<double>(i));
    const double right = same(2000 - static_cast<double>(i));
    EXPECT_NEAR(laws[2 * i], left * right / (left * right + (1 - left) * (1 - right)), 1e-12);
  }
}

TEST(MarkovWorld, StationaryLawIsKeptByAStep) {
  for (std::int64_t V : {2, 7, 64}) {
    const MarkovWorld world({.vocab_size = V, .seed = 5, .concentration = 0.2});
    const Law& pi = world.stationary();
    EXPECT_NEAR(std::accumulate(pi.begin(), pi.end(), 0.0), 1, 1e-13);
    Law next(pi.size(), 0.0);
    for (std::size_t s = 0; s < pi.size(); ++s) {
      const Law row = world.next_law(Ids{static_cast<std::int64_t>(s)});
      for (std::size_t v = 0; v < row.size(); ++v) next[v] += pi[s] * row[v];
    }
    expect_near(next, pi, 1e-14);
    expect_near(
        world.marginals(3),
        [&] {
          Law thrice = pi;
          thrice.insert(thrice.end(), pi.begin(), pi.end());
          thrice.insert(thrice.end(), pi.begin(), pi.end());
          return thrice;
        }(),
        1e-13);
  }
}

TEST(MarkovWorld, ConditionalsEqualTheEnumeratedJointForEverySubset) {
  const MarkovWorld world({.vocab_size = 3, .seed = 2, .concentration = 0.4});
  const TabularWorld table = enumerated(world, 5);
  for (const Ids& known : all_sequences(5, -1, 3))
    expect_near(world.conditionals(known), table.conditionals(known), 1e-12);
}

TEST(MarkovWorld, ConditionalsHoldForAnotherStartAndForbiddenSteps) {
  const MarkovWorld world = started_elsewhere();
  const TabularWorld table = enumerated(world, 5);
  std::size_t impossible = 0;
  for (const Ids& known : all_sequences(5, -1, 3)) {
    Law expected;
    try {
      expected = table.conditionals(known);
    } catch (const ConfigError&) {
      EXPECT_NE(error_of([&] { (void)world.conditionals(known); }).find("can occur together"),
                std::string::npos);
      ++impossible;
      continue;
    }
    expect_near(world.conditionals(known), expected, 1e-12);
  }
  EXPECT_GT(impossible, 100U);
  EXPECT_LT(impossible, 900U);
}

TEST(MarkovWorld, EntropyAndTotalCorrelationEqualTheEnumeratedJoint) {
  const MarkovWorld stationary({.vocab_size = 3, .seed = 2, .concentration = 0.4});
  const MarkovWorld elsewhere = started_elsewhere();
  for (const MarkovWorld* world : {&stationary, &elsewhere}) {
    const TabularWorld table = enumerated(*world, 5);
    for (std::int64_t n = 1; n <= 5; ++n) {
      EXPECT_NEAR(world->entropy(n), table.entropy(n), 1e-12);
      EXPECT_NEAR(world->total_correlation(n), table.total_correlation(n), 1e-12);
    }
  }
}

TEST(MarkovWorld, ChainRuleEqualsLogProbability) {
  const MarkovWorld world({.vocab_size = 9, .seed = 4});
  const Ids ids = world.draw(1, 0, 50);
  double log_p = 0;
  for (std::size_t i = 0; i < ids.size(); ++i)
    log_p += std::log(world.next_law(std::span(ids).first(i))[static_cast<std::size_t>(ids[i])]);
  EXPECT_NEAR(world.log_probability(ids), log_p, 1e-11);
}

// Transitions down to 1e-260: every pattern still has a law, and no message vanishes.
TEST(MarkovWorld, NothingIsImpossibleAtTheSmallestConcentration) {
  const MarkovWorld world({.vocab_size = 4, .seed = 3, .concentration = 1e-3});
  for (const Ids& known : all_sequences(5, -1, 4)) {
    const Law laws = world.conditionals(known);
    EXPECT_NEAR(std::accumulate(laws.begin(), laws.end(), 0.0), 5, 1e-12);
  }
}

TEST(MarkovWorld, RefusesWhatIsNoChain) {
  const auto error = [](const Law& transition, const std::optional<Law>& initial) {
    return error_of([&] { (void)MarkovWorld(transition, initial); });
  };
  EXPECT_EQ(error({1, 0, 0, 1}, std::nullopt),
            "transition = 'state 1': a chain in which every state leads to state 0");
  EXPECT_EQ(error({0.5, 0.5, 0.5, 0.4}, std::nullopt),
            "transition row 1 = 'sum 0.9': probabilities that sum to 1");
  EXPECT_EQ(error({0.5, 0.5, 1}, std::nullopt),
            "transition = '3 values': v^2 values, v in [2, 256]");
  EXPECT_EQ(error({0.5, 0.5, 0.5, 0.5}, Law{1}), "initial = '1 values': v = 2 values");
  EXPECT_EQ(error({0.5, 0.5, 0.5, 0.5}, Law{1, 1}),
            "initial = 'sum 2': probabilities that sum to 1");
  EXPECT_EQ(error_of([] { (void)MarkovWorld(MarkovSpec{.vocab_size = 257}); }),
            "v = '257': in [2, 256]");
}

}  // namespace
}  // namespace dlm
