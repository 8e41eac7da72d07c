#include "models/training/noise_draws.h"

#include <cmath>
#include <map>

#include <gtest/gtest.h>

#include "models/diffusion/clipped_schedule.h"

namespace dlm {
namespace {

constexpr std::int64_t kBlocks = 6;
constexpr std::int64_t kSize = 4;

std::vector<BlockNoise> drawn(const NoiseRecipe& recipe, std::uint64_t first, std::int64_t rows) {
  return draw_noise(recipe, {first, rows, kBlocks, kSize});
}

TEST(NoiseDraws, DependOnTheExampleAlone) {
  for (const NoiseDraw draw :
       {NoiseDraw::kIndependent, NoiseDraw::kPermuted, NoiseDraw::kMaskCounts}) {
    NoiseRecipe recipe;
    recipe.draw = draw;
    const auto together = drawn(recipe, 10, 20);
    for (std::int64_t row = 0; row < 20; ++row) {
      const auto alone = drawn(recipe, 10 + static_cast<std::uint64_t>(row), 1);
      for (std::size_t block = 0; block < kBlocks; ++block) {
        const BlockNoise& other = together[static_cast<std::size_t>(row) * kBlocks + block];
        EXPECT_EQ(alone[block].masked, other.masked);
        EXPECT_EQ(alone[block].t, other.t);
        EXPECT_EQ(alone[block].weight, other.weight);
      }
    }
  }
}

TEST(NoiseDraws, PublishedLevelsStandInTheirStrata) {
  NoiseRecipe recipe;
  recipe.draw = NoiseDraw::kPublished;
  const auto noise = drawn(recipe, 0, 3);
  for (std::size_t i = 0; i < noise.size(); ++i) {
    const double u = (noise[i].t - 1e-3) / (1 - 1e-3);
    EXPECT_EQ(std::floor(u * static_cast<double>(noise.size())), static_cast<double>(i));
  }
}

// Every stratum once in each group of examples; every block in any of them.
TEST(NoiseDraws, PermutedLevelsFillAllStrata) {
  NoiseRecipe recipe;
  recipe.strata_rows = 8;
  std::map<std::int64_t, int> first_block;
  for (std::uint64_t group = 0; group < 40; ++group) {
    std::map<std::int64_t, int> seen;
    for (const BlockNoise& noise : drawn(recipe, group * 8, 8)) {
      const double u = (noise.t - 1e-3) / (1 - 1e-3);
      const auto stratum = static_cast<std::int64_t>(std::floor(u * 8 * kBlocks));
      ++seen[stratum];
      if (noise.row == 0 && noise.block == 0)
        ++first_block[stratum];
    }
    EXPECT_EQ(seen.size(), 8U * kBlocks);
  }
  EXPECT_GT(first_block.size(), 20U);
}

TEST(NoiseDraws, CountsAreExactAndEvenlySpread) {
  NoiseRecipe recipe;
  recipe.draw = NoiseDraw::kMaskCounts;
  recipe.keeps_first_clean = false;
  std::map<std::size_t, int> counts;
  for (const BlockNoise& noise : drawn(recipe, 0, 16)) {
    ++counts[noise.masked.size()];
    EXPECT_DOUBLE_EQ(noise.weight, 4.0 / static_cast<double>(noise.masked.size()));
    EXPECT_DOUBLE_EQ(noise.bound_weight, noise.weight);
  }
  for (std::size_t k = 1; k <= 4; ++k) EXPECT_EQ(counts[k], 24) << k;
}

TEST(NoiseDraws, TheFirstTokenIsNeverMasked) {
  for (const NoiseDraw draw : {NoiseDraw::kPublished, NoiseDraw::kIndependent, NoiseDraw::kPermuted,
                               NoiseDraw::kMaskCounts}) {
    NoiseRecipe recipe;
    recipe.draw = draw;
    recipe.interval = {0.9, 1};
    for (const BlockNoise& noise : drawn(recipe, 0, 20)) {
      for (const std::int64_t position : noise.masked) EXPECT_TRUE(noise.block > 0 || position > 0);
    }
  }
}

TEST(NoiseDraws, MasksDrawnAgainStayInTheInterval) {
  NoiseRecipe recipe;
  recipe.interval = {0.45, 0.95};
  recipe.resamples = true;
  for (const BlockNoise& noise : drawn(recipe, 0, 20)) {
    if (noise.block == 0)
      continue;
    EXPECT_TRUE(noise.masked.size() == 2 || noise.masked.size() == 3);
    EXPECT_DOUBLE_EQ(noise.weight, 1 / noise.t);
    EXPECT_TRUE(std::isnan(noise.bound_weight));
  }
}

// The search's intervals begin at 1e-3 in f32; blocks without a mask occur there, as published.
TEST(NoiseDraws, MasksDrawnAgainMayBeEmptyFromTheLowestLevelOn) {
  NoiseRecipe recipe;
  recipe.interval = candidate_intervals({{0.5}, 0.05}, kSize)[1];
  ASSERT_EQ(recipe.interval.low, static_cast<double>(1e-3F));
  recipe.resamples = true;
  std::size_t empty = 0;
  for (const BlockNoise& noise : drawn(recipe, 0, 200)) {
    empty += noise.masked.empty() && noise.block > 0 ? 1U : 0U;
    EXPECT_LE(noise.masked.size(), 2U);
  }
  EXPECT_GT(empty, 0U);
}

TEST(NoiseDraws, ScoreEntropyHasABoundOnTheWholeIntervalAlone) {
  NoiseRecipe recipe;
  recipe.weighs_terms = false;
  for (const BlockNoise& noise : drawn(recipe, 0, 3)) EXPECT_EQ(noise.bound_weight, 1);
  recipe.interval = {0.5, 0.6};
  for (const BlockNoise& noise : drawn(recipe, 0, 3)) {
    if (!noise.masked.empty()) {
      EXPECT_TRUE(std::isnan(noise.bound_weight));
    }
  }
}

TEST(NoiseDraws, IntervalsAboveAHalfWeighOne) {
  NoiseRecipe recipe;
  recipe.interval = {1, 1};
  const auto noise = draw_noise(recipe, {0, 4, 8, 1});
  for (const BlockNoise& block : noise) {
    EXPECT_EQ(block.masked.size(), block.block == 0 ? 0U : 1U);
    EXPECT_EQ(block.weight, 1);
    EXPECT_EQ(block.bound_weight, 1);
  }
}

// With unit terms a block's bound is n: sum over k of (1 / k) * k. 40000 blocks of a value whose
// deviation is below 8: |z| < 4 fails once in 16000 correct draws, were the seed not fixed.
TEST(NoiseDraws, BoundWeightsGiveTheBoundOnAnyInterval) {
  for (const NoiseInterval interval :
       {NoiseInterval{1e-3, 1}, NoiseInterval{0.3, 0.8}, NoiseInterval{0.5, 1}}) {
    for (const NoiseDraw draw : {NoiseDraw::kIndependent, NoiseDraw::kMaskCounts}) {
      NoiseRecipe recipe;
      recipe.draw = draw;
      recipe.interval = interval;
      recipe.keeps_first_clean = false;
      double sum = 0, squares = 0, count = 0;
      for (const BlockNoise& noise : draw_noise(recipe, {0, 5000, 8, kSize})) {
        const double value = noise.masked.empty()
                                 ? 0
                                 : noise.bound_weight * static_cast<double>(noise.masked.size());
        sum += value;
        squares += value * value;
        count += 1;
      }
      const double mean = sum / count;
      const double error = std::sqrt((squares / count - mean * mean) / count);
      EXPECT_LT(std::abs(mean - 4), 4 * error + 0.005) << interval.low;
    }
  }
}

}  // namespace
}  // namespace dlm
