#include "models/exact/grammar.h"

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
TabularWorld enumerated(const GrammarWorld& world, std::int64_t length) {
  Law joint;
  const std::int64_t V = world.info().vocab_size;
  for (const Ids& ids : all_sequences(static_cast<std::size_t>(length), 0, V))
    joint.push_back(std::exp(world.log_probability(ids)));
  return TabularWorld(V, length, joint);
}

// One kind of bracket: the depth is a walk, and every probability is a product.
TEST(GrammarWorld, OneKindHasTheClosedForm) {
  const double p = 0.3, e = 0.1;
  const GrammarWorld world({1, p, e, 1, 1});
  // ( ( ) ) ) ( : the third closing token closes nothing.
  EXPECT_NEAR(world.log_probability(Ids{0, 0, 1, 1, 1, 0}),
              std::log((1 - e) * p * (1 - p) * (1 - p) * e * (1 - e)), 1e-14);
  // The fourth of "( ? ? ?" opens: 1 - e where it is at depth 0, after ")(" no.
  //   depths after 3 tokens: ((( 3, (() and ()( 1, ()) 0.
  const double at_zero = (1 - p) * e;
  EXPECT_NEAR(world.conditional(Ids{0, -1, -1, -1}, 3)[0], (1 - at_zero) * p + at_zero * (1 - e),
              1e-14);
  const auto h = [](double x) { return -x * std::log(x) - (1 - x) * std::log(1 - x); };
  // Depth 0 for sure; 0 with e; 0 with e^2 + (1 - e)(1 - p).
  const double second = e, third = e * e + (1 - e) * (1 - p);
  EXPECT_NEAR(world.entropy(3), h(e) * (1 + second + third) + h(p) * (1 - second + 1 - third),
              1e-14);
}

TEST(GrammarWorld, SequencesOfEveryLengthSumToOne) {
  const GrammarWorld world({2, 0.45, 0.05, 3, 0.5});
  for (const std::size_t length : {1U, 2U, 5U}) {
    double sum = 0;
    for (const Ids& ids : all_sequences(length, 0, 4)) sum += std::exp(world.log_probability(ids));
    EXPECT_NEAR(sum, 1, 1e-12);
  }
}

// Every set of known tokens of short texts, against the sum over all texts that agree with it.
TEST(GrammarWorld, ConditionalsAreThoseOfTheTable) {
  const GrammarWorld world({2, 0.45, 0.05, 3, 0.5});
  for (const std::int64_t length : {1, 4, 5}) {
    const TabularWorld table = enumerated(world, length);
    for (const Ids& known : all_sequences(static_cast<std::size_t>(length), -1, 4))
      expect_near(world.conditionals(known), table.conditionals(known), 1e-11);
    EXPECT_NEAR(world.entropy(length), table.entropy(length), 1e-11);
  }
  const GrammarWorld wide({3, 0.6, 0.2, 8, 2});
  const TabularWorld table = enumerated(wide, 6);
  for (const Ids& known : {Ids{-1, -1, -1, -1, -1, -1}, Ids{2, -1, -1, -1, -1, 4},
                           Ids{-1, 5, -1, 0, -1, -1}, Ids{3, 3, -1, -1, 5, -1}})
    expect_near(wide.conditionals(known), table.conditionals(known), 1e-11);
  EXPECT_NEAR(wide.entropy(6), table.entropy(6), 1e-11);
}

// What a chain of fixed memory cannot know: 100 brackets open and close in between, and still the
// last token closes the first.
TEST(GrammarWorld, AClosingTokenKnowsItsBracketHoweverFar) {
  const GrammarWorld world({4, 0.45, 0.01, 1, 1});
  for (const std::int64_t kind : {0, 3}) {
    Ids known = {kind};
    for (int i = 0; i < 100; ++i) {
      known.push_back(1);
      known.push_back(5);
    }
    const Law next = world.next_law(known);
    EXPECT_NEAR(next[static_cast<std::size_t>(4 + kind)], 0.55 * 0.99, 1e-12);
    known.push_back(-1);
    const Law row = world.conditional(known, std::ssize(known) - 1);
    expect_near(row, next, 1e-9);
  }
}

// Chain rule over a long text with gaps: p(a, b | rest) either way round; and no underflow.
TEST(GrammarWorld, ConditionalsOfALongTextFitEachOther) {
  const GrammarWorld world({8, 0.48, 0.02, 5, 0.3});
  Ids known = world.draw(1, 2, 300);
  const std::size_t i = 100, j = 103;
  const auto a = known[i], b = known[j];
  known[i] = known[j] = -1;
  const auto chance = [&](std::size_t at, std::int64_t token) {
    return world.conditional(known, static_cast<std::int64_t>(at))[static_cast<std::size_t>(token)];
  };
  const double first = chance(i, a), second = chance(j, b);
  known[i] = a;
  const double second_after = chance(j, b);
  known[i] = -1;
  known[j] = b;
  const double first_after = chance(i, a);
  EXPECT_NEAR(first * second_after / (second * first_after), 1, 1e-9);
}

// The mean of -log p over documents, within 5 standard errors: false alarm 6e-7.
TEST(GrammarWorld, DocumentsHaveTheEntropy) {
  const GrammarWorld world({4, 0.45, 0.01, 1, 1});
  double sum = 0, squares = 0;
  constexpr int kDocuments = 4000;
  for (std::uint64_t i = 0; i < kDocuments; ++i) {
    const double nll = -world.log_probability(world.draw(2, i, 64));
    sum += nll;
    squares += nll * nll;
  }
  const double mean = sum / kDocuments;
  const double error = std::sqrt((squares / kDocuments - mean * mean) / kDocuments);
  EXPECT_NEAR(mean, world.entropy(64), 5 * error);
}

TEST(GrammarWorld, RefusesWhatIsNoGrammar) {
  EXPECT_EQ(error_of([] { GrammarWorld({0, 0.4, 0.1, 1, 1}); }), "brackets = '0': in [1, 64]");
  EXPECT_EQ(error_of([] { GrammarWorld({2, 1, 0.1, 1, 1}); }), "open = '1': above 0 and below 1");
  EXPECT_EQ(error_of([] { GrammarWorld({2, 0.4, 0, 1, 1}); }), "error = '0': above 0 and below 1");
  const GrammarWorld world({1, 0.4, 0.1, 1, 1});
  EXPECT_EQ(error_of([&] { (void)world.conditionals(Ids(513, -1)); }),
            "known = '513 tokens': at most 512 of a grammar");
  EXPECT_EQ(error_of([&] { (void)world.log_probability(Ids{2}); }), "ids = '2': ids in [0, 2)");
  EXPECT_TRUE(world.conditionals({}).empty());
}

}  // namespace
}  // namespace dlm
