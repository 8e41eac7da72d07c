#include "models/exact/tabular.h"

#include <cmath>
#include <numeric>

#include <gtest/gtest.h>

#include "harness/base/error.h"
#include "tests/models/exact/sequences.h"

namespace dlm {
namespace {

using testing::all_sequences;
using testing::error_of;
using testing::Ids;
using testing::Law;

TEST(TabularWorld, ChainRuleEqualsTheJoint) {
  const TabularWorld world({.vocab_size = 3, .length = 5, .seed = 3, .concentration = 0.5});
  double total = 0;
  for (const Ids& ids : all_sequences(5, 0, 3)) {
    double log_p = 0;
    for (std::size_t i = 0; i < ids.size(); ++i) {
      const Law law = world.next_law(std::span(ids).first(i));
      log_p += std::log(law[static_cast<std::size_t>(ids[i])]);
    }
    EXPECT_NEAR(log_p, world.log_probability(ids), 1e-12);
    total += std::exp(log_p);
  }
  EXPECT_NEAR(total, 1, 1e-12);
}

TEST(TabularWorld, ExplicitJointIsReadWithTheLastTokenFastest) {
  const TabularWorld world(2, 2, {0.1, 0.2, 0.3, 0.4});
  EXPECT_NEAR(world.log_probability(Ids{0, 1}), std::log(0.2), 1e-15);
  EXPECT_NEAR(world.log_probability(Ids{1}), std::log(0.7), 1e-15);
  EXPECT_NEAR(world.next_law(Ids{})[0], 0.3, 1e-15);
  EXPECT_NEAR(world.next_law(Ids{1})[1], 4.0 / 7, 1e-15);
  EXPECT_NEAR(world.conditional(Ids{-1, 1}, 0)[0], 1.0 / 3, 1e-15);
}

// Every subset of known positions with every value, for every length of the canvas, against sums
// over the whole joint.
TEST(TabularWorld, ConditionalsEqualBruteForceForEverySubset) {
  const TabularWorld world({.vocab_size = 3, .length = 4, .seed = 8, .concentration = 0.3});
  for (std::size_t n = 1; n <= 4; ++n) {
    for (const Ids& known : all_sequences(n, -1, 3)) {
      Law expected(n * 3, 0.0);
      double evidence = 0;
      for (const Ids& ids : all_sequences(4, 0, 3)) {
        if (!testing::agrees(ids, known))
          continue;
        const double p = std::exp(world.log_probability(ids));
        evidence += p;
        for (std::size_t i = 0; i < n; ++i) expected[i * 3 + static_cast<std::size_t>(ids[i])] += p;
      }
      for (double& p : expected) p /= evidence;
      testing::expect_near(world.conditionals(known), expected, 1e-12);
    }
  }
}

TEST(TabularWorld, EntropyEqualsBruteForce) {
  const TabularWorld world({.vocab_size = 3, .length = 4, .seed = 8, .concentration = 0.3});
  for (std::int64_t n = 1; n <= 4; ++n) {
    double entropy = 0;
    for (const Ids& ids : all_sequences(static_cast<std::size_t>(n), 0, 3)) {
      const double log_p = world.log_probability(ids);
      entropy -= std::exp(log_p) * log_p;
    }
    EXPECT_NEAR(world.entropy(n), entropy, 1e-12);
    EXPECT_NEAR(world.entropy_per_token(n), entropy / static_cast<double>(n), 1e-12);
  }
}

TEST(TabularWorld, TotalCorrelationHasItsClosedForms) {
  const TabularWorld uniform(4, 2, Law(16, 1.0 / 16));
  EXPECT_NEAR(uniform.total_correlation(2), 0, 1e-14);
  EXPECT_NEAR(uniform.entropy(2), std::log(16), 1e-14);
  const TabularWorld copy(2, 3, {0.5, 0, 0, 0, 0, 0, 0, 0.5});
  EXPECT_NEAR(copy.total_correlation(3), 2 * std::log(2), 1e-14);
  EXPECT_NEAR(copy.entropy_per_token(3), std::log(2) / 3, 1e-14);
  testing::expect_near(copy.marginals(3), Law(6, 0.5), 1e-15);
}

// The entropy of K Dirichlet(a) weights has mean digamma(K a + 1) - digamma(a + 1). With K = 8^5
// its standard deviation is 0.0201, 0.0049 and 0.0017 (simulated); 6 of them, false alarm below
// 1e-8 each.
TEST(TabularWorld, WeightsAreDirichlet) {
  struct Case {
    double concentration;
    double mean;
    double deviation;
  };

  for (const Case& c :
       {Case{0.05, 7.899626, 0.0202}, Case{0.5, 9.667601, 0.0050}, Case{2, 10.167578, 0.0017}}) {
    const TabularWorld world(
        {.vocab_size = 8, .length = 5, .seed = 6, .concentration = c.concentration});
    EXPECT_NEAR(world.entropy(5), c.mean, 6 * c.deviation) << c.concentration;
  }
}

// What exp would flush to 0 stays possible, so a sampler can never ask for a law that is none.
TEST(TabularWorld, NothingIsImpossibleAtTheSmallestConcentration) {
  const TabularWorld world({.vocab_size = 4, .length = 5, .seed = 1, .concentration = 1e-3});
  for (const Ids& ids : all_sequences(5, 0, 4)) {
    EXPECT_TRUE(std::isfinite(world.log_probability(ids)));
    const Law law = world.conditional(Ids{ids[0], -1, ids[2], ids[3], ids[4]}, 1);
    EXPECT_NEAR(std::accumulate(law.begin(), law.end(), 0.0), 1, 1e-12);
  }
}

TEST(TabularWorld, SeedAndConcentrationNameTheWorld) {
  const TabularSpec spec{.vocab_size = 3, .length = 3, .seed = 1};
  TabularSpec other = spec;
  other.seed = 2;
  EXPECT_EQ(TabularWorld(spec).entropy(3), TabularWorld(spec).entropy(3));
  EXPECT_NE(TabularWorld(spec).entropy(3), TabularWorld(other).entropy(3));
}

TEST(TabularWorld, RefusesWhatIsNoLaw) {
  const auto error = [](std::int64_t V, std::int64_t L, const Law& joint) {
    return error_of([&] { (void)TabularWorld(V, L, joint); });
  };
  EXPECT_EQ(error(2, 2, {0.5, 0.5}), "joint = '2 values': v^l = 4 values");
  EXPECT_EQ(error(2, 1, {0.5, 0.6}), "joint = 'sum 1.1': probabilities that sum to 1");
  EXPECT_EQ(error(2, 1, {1.5, -0.5}), "joint = '-0.5': probabilities, finite and >= 0");
  EXPECT_EQ(error(2, 1, {std::nan(""), 1}), "joint = 'nan': probabilities, finite and >= 0");
}

TEST(TabularWorld, RefusesSizesItCannotEnumerate) {
  const auto error = [](const TabularSpec& spec) {
    return error_of([&] { (void)TabularWorld(spec); });
  };
  EXPECT_EQ(error({.vocab_size = 9}), "v = '9': in [2, 8]");
  EXPECT_EQ(error({.length = 11}), "l = '11': in [1, 10]");
  EXPECT_EQ(error({.vocab_size = 6, .length = 10}),
            "l = '10': v^l at most 16777216; with v = 6 it is 60466176");
  EXPECT_EQ(error({.concentration = 0}), "concentration = '0': a number in [1e-3, 1e6]");
}

TEST(TabularWorld, RefusesQueriesOutsideTheWorld) {
  const TabularWorld world(2, 3, {0.5, 0, 0, 0, 0, 0, 0, 0.5});
  EXPECT_EQ(error_of([&] { (void)world.log_probability(Ids{0, 2}); }), "ids = '2': ids in [0, 2)");
  EXPECT_EQ(error_of([&] {
              (void)world.log_probability(Ids{0, -1});
            }),
            "ids = '-1': ids in [0, 2)");
  EXPECT_EQ(error_of([&] { (void)world.conditionals(Ids{-2}); }), "known = '-2': ids in [-1, 2)");
  EXPECT_EQ(error_of([&] { (void)world.conditionals(Ids(4, -1)); }),
            "known = '4 tokens': at most max_length = 3");
  EXPECT_EQ(error_of([&] {
              (void)world.conditionals(Ids{0, -1, 1});
            }),
            "known = '0 -1 1': tokens that can occur together in this world");
  EXPECT_EQ(error_of([&] {
              (void)world.next_law(Ids{0, 1});
            }),
            "prefix = '0 1': tokens that can occur together in this world");
  EXPECT_EQ(error_of([&] { (void)world.next_law(Ids{0, 0, 0}); }), "length = '4': in [1, 3]");
  EXPECT_EQ(error_of([&] { (void)world.conditional(Ids{0, -1}, 2); }), "position = '2': in [0, 2)");
  EXPECT_EQ(error_of([&] { (void)world.entropy(0); }), "length = '0': in [1, 3]");
  EXPECT_EQ(world.log_probability(Ids{0, 1}), -std::numeric_limits<double>::infinity());
}

}  // namespace
}  // namespace dlm
