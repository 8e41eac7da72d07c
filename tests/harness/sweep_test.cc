#include "harness/sweep.h"

#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "harness/base/error.h"

namespace dlm {
namespace {

using Values = std::vector<std::string>;

TEST(SweepAxis, ListsAndRanges) {
  EXPECT_EQ(make_axis("batch_size", "4,8,16").values, (Values{"4", "8", "16"}));
  EXPECT_EQ(make_axis("batch_size", "8-64*2").values, (Values{"8", "16", "32", "64"}));
  EXPECT_EQ(make_axis("batch_size", "1-9+4").values, (Values{"1", "5", "9"}));
  EXPECT_EQ(make_axis("seed", "1-3,7").values, (Values{"1", "2", "3", "7"}));
  EXPECT_EQ(make_axis("limit", "9223372036854775806-9223372036854775807").values.size(), 2U);
  EXPECT_EQ(make_axis("scoring.packing", "document,packed").values, (Values{"document", "packed"}));
  EXPECT_EQ(make_axis("metrics", "nll,perplexity").values, (Values{"nll,perplexity"}));
  EXPECT_EQ(make_axis("model", "exact:markov?v=8-9").values, (Values{"exact:markov?v=8-9"}));
}

TEST(SweepAxis, RefusesEmptyAndEndlessRanges) {
  EXPECT_THROW(make_axis("batch_size", "8-4"), ConfigError);
  EXPECT_THROW(make_axis("batch_size", "1-8*1"), ConfigError);
  EXPECT_THROW(make_axis("batch_size", "1-8+0"), ConfigError);
  EXPECT_THROW(make_axis("limit", "0-100000"), ConfigError);
}

TEST(Expand, MultipliesInTableOrderWithTheLastFastest) {
  const auto specs = expand({}, {make_axis("batch_size", "1,2"), make_axis("model", "a,b")});
  ASSERT_EQ(specs.size(), 4U);
  EXPECT_EQ(specs[1].model, "a");
  EXPECT_EQ(specs[1].batch_size, 2);
  EXPECT_EQ(specs[2].model, "b");
}

TEST(Expand, ChecksEveryValue) {
  EXPECT_THROW(expand({}, {make_axis("batch_size", "1,0")}), ConfigError);
  EXPECT_THROW(expand({}, {make_axis("seed", "1-200"), make_axis("limit", "1-200")}), ConfigError);
}

}  // namespace
}  // namespace dlm
