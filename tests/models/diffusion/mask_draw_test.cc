// Levels, masks and mask counts: closed forms, laws, and the published masks with their own
// uniforms.
#include "models/diffusion/mask_draw.h"

#include <array>
#include <cmath>
#include <map>
#include <numeric>

#include <gtest/gtest.h>

#include "harness/base/error.h"
#include "models/diffusion/mask_count.h"
#include "tests/models/diffusion/fixture.h"
#include "tests/support/chi_square.h"
#include "tests/support/data.h"

namespace dlm {
namespace {

TEST(MaskCountLaw, IsUniformForTheWholeInterval) {
  const MaskCountLaw law = mask_count_law(5, 0, 1);
  for (std::size_t k = 0; k < 5; ++k) {
    EXPECT_DOUBLE_EQ(law.probability[k], 0.2);
    EXPECT_DOUBLE_EQ(law.weight[k], 5.0 / static_cast<double>(k + 1));
  }
}

// probability times weight is the mean over t of weight(t) P(k of n masked at t); midpoint rule.
TEST(MaskCountLaw, AgreesWithTheMeanOverTheInterval) {
  constexpr int kCells = 100'000;
  const std::array<std::pair<double, double>, 6> intervals{
      {{1e-3, 1}, {0.3, 0.8}, {0, 0.5}, {0.45, 0.95}, {0.6, 1}, {0.7, 0.7}}};
  for (const auto& [low, high] : intervals) {
    for (const std::int64_t n : {1, 4, 7}) {
      const MaskCountLaw law = mask_count_law(n, low, high);
      EXPECT_NEAR(std::accumulate(law.probability.begin(), law.probability.end(), 0.0), 1, 1e-12);
      for (std::int64_t k = 1; k <= n; ++k) {
        double mean = 0;
        for (int i = 0; i < kCells; ++i) {
          const double t = low + (high - low) * (i + 0.5) / kCells;
          const double weight = published_weight(low) == LossWeight::kOne ? 1 : 1 / t;
          mean += weight * std::exp(log_choose(n, k)) * std::pow(t, static_cast<double>(k)) *
                  std::pow(1 - t, static_cast<double>(n - k)) / kCells;
        }
        const auto at = static_cast<std::size_t>(k) - 1;
        EXPECT_NEAR(law.probability[at] * law.weight[at], mean, 1e-7)
            << low << " " << high << " n " << n << " k " << k;
      }
    }
  }
}

TEST(MaskCountLaw, MasksEverythingAtLevelOne) {
  const MaskCountLaw law = mask_count_law(3, 1, 1);
  EXPECT_EQ(law.probability, (std::vector<double>{0, 0, 1}));
  EXPECT_DOUBLE_EQ(law.weight[2], 1);
}

TEST(MaskCountLaw, QuantilesFollowIt) {
  const MaskCountLaw law = mask_count_law(4, 0.3, 0.8);
  std::array<double, 4> seen{};
  for (int i = 0; i < 10'000; ++i)
    seen[static_cast<std::size_t>(mask_count_at(law, i / 10'000.0)) - 1] += 1e-4;
  for (std::size_t k = 0; k < 4; ++k) EXPECT_NEAR(seen[k], law.probability[k], 1.1e-4);
  EXPECT_EQ(mask_count_at(law, std::nextafter(1.0, 0.0)), 4);
}

// Chi-square of the 10 pairs of 5 tokens, false alarm below 1e-6.
TEST(MaskDraw, RandomOrderBeginsWithAUniformSubset) {
  std::map<std::vector<std::int64_t>, std::int64_t> seen;
  for (std::int64_t draw = 0; draw < 20'000; ++draw) {
    auto order = random_order(MaskStream(3, 7, draw), {2, 1, 6});
    ASSERT_EQ(order.size(), 5U);
    order.resize(2);
    std::sort(order.begin(), order.end());
    ++seen[order];
  }
  std::vector<std::int64_t> counts;
  for (const auto& [pair, count] : seen) counts.push_back(count);
  ASSERT_EQ(counts.size(), 10U);
  testing::expect_follows(counts, std::vector<double>(10, 0.1));
}

// Binomial counts of 4 tokens at p = 0.3; false alarm below 1e-6.
TEST(MaskDraw, CoinMaskIsBinomialAndKeepsTheFirstToken) {
  std::vector<std::int64_t> counts(5, 0);
  for (std::int64_t draw = 0; draw < 20'000; ++draw) {
    const auto masked = coin_mask(MaskStream(3, 7, draw), {0, 1, 5}, 0.3);
    EXPECT_TRUE(masked.empty() || masked.front() >= 1);
    ++counts[masked.size()];
  }
  testing::expect_follows(counts, std::vector<double>{0.2401, 0.4116, 0.2646, 0.0756, 0.0081});
}

TEST(MaskDraw, StreamsOfOtherNamesDiffer) {
  const MaskStream stream(1, 2, 3);
  EXPECT_EQ(stream.of_position(4, 5), MaskStream(1, 2, 3).of_position(4, 5));
  EXPECT_NE(stream.of_position(4, 5), MaskStream(2, 2, 3).of_position(4, 5));
  EXPECT_NE(stream.of_position(4, 5), MaskStream(1, 1, 3).of_position(4, 5));
  EXPECT_NE(stream.of_position(4, 5), MaskStream(1, 2, 4).of_position(4, 5));
  EXPECT_NE(stream.of_position(4, 5), stream.of_position(5, 4));
  EXPECT_NE(stream.of_position(4, 5), stream.of_position(4, 5, 1));
  EXPECT_NE(stream.of_block(4), stream.of_position(4, 0));
  EXPECT_NE(stream.of_block(0), stream.of_sequence());
}

TEST(MaskDraw, LevelsFillTheirStrata) {
  EXPECT_DOUBLE_EQ(low_discrepancy_level(0.5, 0, 1, 0, 4), 0.125);
  EXPECT_DOUBLE_EQ(low_discrepancy_level(0.5, 1, 2, 3, 4), 7.5 / 8);
}

TEST(MaskDraw, RefusesAFractionThatNoCountHas) {
  const auto uniform = [](std::int64_t, std::int64_t) { return 0.5; };
  const auto refusal = [&](const MaskedFraction& bounds) -> std::string {
    try {
      resampled_mask(4, 0.6, bounds, uniform);
    } catch (const ConfigError& error) {
      return error.what();
    }
    return "accepted";
  };
  EXPECT_EQ(refusal({0.3, 0.45}),
            "masked fraction = '[0.3, 0.45]': an interval that holds some k / 4");
  EXPECT_EQ(refusal({0.2, 0.5}),
            "masked fraction = '[0.2, 0.5]': reached within 100000 masks at probability 0.6");
}

TEST(MaskDrawGolden, LevelsOfABatchAreThePublishedOnes) {
  DLM_REQUIRE_DATA("fixtures/clipped_schedule");
  const testing::Fixture fixture("fixtures/clipped_schedule/expected.safetensors");
  const std::array<std::pair<double, double>, 3> intervals{{{1e-3, 1}, {1e-3, 1}, {0.3, 0.8}}};
  for (std::size_t set = 0; set < intervals.size(); ++set) {
    const auto u = fixture.get(fmt::format("sample_t{}.u", set));
    const auto t = fixture.get(fmt::format("sample_t{}.t", set));
    const std::int64_t rows = u.shape[0];
    const std::int64_t blocks = u.shape[1];
    const auto [low, high] = intervals[set];
    for (std::int64_t row = 0; row < rows; ++row) {
      for (std::int64_t i = 0; i < t.shape[1]; ++i) {
        const std::int64_t block = i * blocks / t.shape[1];
        const double level =
            low_discrepancy_level(u.at(row * blocks + block), row, rows, block, blocks);
        EXPECT_NEAR(low + (high - low) * level, t.at(row * t.shape[1] + i), 1e-7) << set;
      }
    }
  }
}

TEST(MaskDrawGolden, ResampledMasksAreThePublishedOnes) {
  DLM_REQUIRE_DATA("fixtures/clipped_schedule");
  const testing::Fixture fixture("fixtures/clipped_schedule/expected.safetensors");
  const std::array<MaskedFraction, 5> bounds{
      {{0.001, 0.5}, {0.0010000000474974513, 0.5}, {0.45, 0.95}, {0.5, 1.0}, {0.001, 1.0}}};
  constexpr std::int64_t kMask = 30;
  for (std::size_t set = 0; set < bounds.size(); ++set) {
    const auto p = fixture.get(fmt::format("q_xt{}.p", set));
    const auto uniform = fixture.get(fmt::format("q_xt{}.uniform", set));
    const auto noisy = fixture.get(fmt::format("q_xt{}.xt", set));
    const std::int64_t tokens = noisy.shape[0] * noisy.shape[1];
    for (std::int64_t begin = 0; begin < tokens; begin += 4) {
      const auto masked = resampled_mask(4, p.at(begin), bounds[set],
                                         [&](std::int64_t round, std::int64_t position) {
                                           return uniform.at(round * tokens + begin + position);
                                         });
      std::vector<std::int64_t> expected;
      for (std::int64_t i = 0; i < 4; ++i) {
        if (noisy.at(begin + i) == kMask)
          expected.push_back(i);
      }
      EXPECT_EQ(masked, expected) << "set " << set << ", block at " << begin;
    }
  }
}

}  // namespace
}  // namespace dlm
