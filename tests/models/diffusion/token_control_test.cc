#include "models/diffusion/token_control.h"

#include <cmath>
#include <vector>

#include <gtest/gtest.h>

namespace dlm {
namespace {

// Two replicates of one mask each over tokens 0 .. 2; token 0 is given.
TEST(TokenControl, IsTheWeightedDifficultyThatTheOthersSaw) {
  TokenControl control(3, 1, 2);
  control.add(0, 1, 2, 5.0);  // k = 1 of 2 tokens: weight 2
  control.add(1, 1, 1, 3.0);  // k = 2: weight 1
  control.add(1, 2, 1, 1.0);
  const std::vector<double> corrections = control.corrections();
  ASSERT_EQ(corrections.size(), 2U);
  // Replicate 0 with the terms of 1, whose mean is 2: c = (3 + 2) / 2, (1 + 2) / 2; W - 1 = 1, -1.
  EXPECT_DOUBLE_EQ(corrections[0], 2.5 - 1.5);
  EXPECT_DOUBLE_EQ(corrections[1], 0);  // every token masked once with weight 1
}

TEST(TokenControl, SaysNothingWhereNothingWasSeen) {
  const TokenControl control(4, 0, 2);
  EXPECT_EQ(control.corrections(), (std::vector<double>{0, 0}));
}

// All pairs of masks of a block of three, each of the 7 masks with the probability that a uniform
// mask count gives it: the mean correction of either replicate is 0.
TEST(TokenControl, HasMeanZero) {
  const auto term = [](int mask, int token) { return 1.0 + token * token + 0.3 * mask; };
  const auto size = [](int mask) { return (mask & 1) + ((mask >> 1) & 1) + ((mask >> 2) & 1); };
  const auto probability = [&](int mask) { return size(mask) == 3 ? 1.0 / 3 : 1.0 / 9; };
  double mean = 0;
  double spread = 0;
  for (int a = 1; a < 8; ++a) {
    for (int b = 1; b < 8; ++b) {
      TokenControl control(3, 0, 2);
      for (int token = 0; token < 3; ++token) {
        if ((a >> token) & 1)
          control.add(0, token, 3.0 / size(a), term(a, token));
        if ((b >> token) & 1)
          control.add(1, token, 3.0 / size(b), term(b, token));
      }
      mean += probability(a) * probability(b) * control.corrections()[0];
      spread += probability(a) * probability(b) * std::abs(control.corrections()[0]);
    }
  }
  EXPECT_NEAR(mean, 0, 1e-14);
  EXPECT_GT(spread, 0.5);
}

}  // namespace
}  // namespace dlm
