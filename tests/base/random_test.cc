#include "harness/base/random.h"

#include <cmath>
#include <set>
#include <vector>

#include <gtest/gtest.h>

namespace dlm {
namespace {

// Known-answer vectors of the Random123 distribution (kat_vectors, philox 4 32 10).
TEST(Philox, MatchesKnownAnswers) {
  using Words = std::array<std::uint32_t, 4>;
  EXPECT_EQ(philox4x32_10({0, 0, 0, 0}, {0, 0}),
            (Words{0x6627e8d5U, 0xe169c58dU, 0xbc57ac4cU, 0x9b00dbd8U}));
  constexpr std::uint32_t kOnes = 0xffffffffU;
  EXPECT_EQ(philox4x32_10({kOnes, kOnes, kOnes, kOnes}, {kOnes, kOnes}),
            (Words{0x408f276dU, 0x41c83b0eU, 0xa20bc7c6U, 0x6d5451fdU}));
  EXPECT_EQ(philox4x32_10({0x243f6a88U, 0x85a308d3U, 0x13198a2eU, 0x03707344U},
                          {0xa4093822U, 0x299f31d0U}),
            (Words{0xd16cfe09U, 0x94fdccebU, 0x5001e420U, 0x24126ea1U}));
}

TEST(RandomStream, NamesGiveDifferentNumbers) {
  std::set<std::uint32_t> seen;
  for (std::uint64_t seed : {1U, 2U}) {
    for (Purpose purpose : {Purpose::kTokenDraw, Purpose::kMaskDraw}) {
      for (std::uint64_t example : {0U, 1U}) {
        for (std::uint64_t replicate : {0U, 1U}) {
          const RandomStream stream(seed, purpose, example, replicate);
          for (std::uint64_t step : {0U, 1U}) {
            for (std::uint64_t position : {0U, 1U}) seen.insert(stream.words(step, position)[0]);
          }
        }
      }
    }
  }
  EXPECT_EQ(seen.size(), 64U);
}

TEST(RandomStream, DrawIsAFunctionOfItsNameAlone) {
  const RandomStream a(7, Purpose::kTest, 3);
  const double first = a.uniform(5, 9);
  for (std::uint64_t i = 0; i < 100; ++i) (void)a.uniform(i, i);
  EXPECT_EQ(RandomStream(7, Purpose::kTest, 3).uniform(5, 9), first);
}

// 64 equal cells, 64,000 draws: chi-square with 63 degrees; 140 is passed with probability 1e-7.
TEST(RandomStream, UniformIsUniform) {
  const RandomStream stream(11, Purpose::kTest, 0);
  std::vector<int> cells(64);
  for (std::uint64_t i = 0; i < 64000; ++i)
    ++cells[static_cast<std::size_t>(stream.uniform(0, i) * 64)];
  double chi2 = 0;
  for (int c : cells) chi2 += (c - 1000.0) * (c - 1000.0) / 1000.0;
  EXPECT_LT(chi2, 140);
}

// Mean and variance of 100,000 normals; 5 standard errors, false alarm 1e-6.
TEST(RandomStream, NormalHasUnitVariance) {
  const RandomStream stream(12, Purpose::kTest, 0);
  double sum = 0;
  double squares = 0;
  constexpr int kDraws = 100000;
  for (std::uint64_t i = 0; i < kDraws; ++i) {
    const double x = stream.normal(1, i);
    sum += x;
    squares += x * x;
  }
  EXPECT_NEAR(sum / kDraws, 0, 5 / std::sqrt(kDraws));
  EXPECT_NEAR(squares / kDraws, 1, 5 * std::sqrt(2.0 / kDraws));
}

TEST(RandomStream, BelowStaysBelow) {
  const RandomStream stream(13, Purpose::kTest, 0);
  std::vector<int> seen(7);
  for (std::uint64_t i = 0; i < 7000; ++i) ++seen.at(stream.below(7, i, 0));
  for (int count : seen) EXPECT_NEAR(count, 1000, 5 * std::sqrt(1000.0));
}

}  // namespace
}  // namespace dlm
