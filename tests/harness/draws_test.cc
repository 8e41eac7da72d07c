#include "harness/draws.h"

#include <string>

#include <gtest/gtest.h>

#include "harness/base/error.h"
#include "models/exact/exact_world.h"

namespace dlm {
namespace {

TEST(DrawCorpus, ReadsItsOwnKeysAndPassesTheOthersOn) {
  const auto corpus = draw_corpus("draws:markov?v=3&documents=7&length=5&seed=4", 1, 0);
  ASSERT_EQ(corpus.ids.size(), 7U);
  EXPECT_EQ(corpus.ids[0].size(), 5U);
  const auto world = make_exact_world("exact:markov?v=3&seed=4");
  EXPECT_EQ(corpus.ids[3], world->draw(1, 3, 5));
  EXPECT_DOUBLE_EQ(corpus.entropy_per_token, world->entropy_per_token(5));
}

TEST(DrawCorpus, LimitKeepsTheFirstDocuments) {
  const auto all = draw_corpus("draws:tabular?v=2&l=4&documents=6", 9, 0);
  const auto some = draw_corpus("draws:tabular?v=2&l=4&documents=6", 9, 2);
  ASSERT_EQ(some.ids.size(), 2U);
  EXPECT_EQ(some.ids[1], all.ids[1]);
  EXPECT_EQ(some.name, all.name);
}

TEST(DrawCorpus, RefusesWhatDoesNotFit) {
  EXPECT_THROW(draw_corpus("draws:tabular?v=2&l=4&length=5", 1, 0), ConfigError);
  EXPECT_THROW(draw_corpus("draws:markov?documents=0", 1, 0), ConfigError);
  EXPECT_THROW(draw_corpus("draws:markov?documents=x", 1, 0), ConfigError);
  EXPECT_THROW(draw_corpus("draws:markow?v=2", 1, 0), ConfigError);
  EXPECT_THROW(draw_corpus("draws:markov?documents=1000000&length=1000000", 1, 0), ConfigError);
}

}  // namespace
}  // namespace dlm
