#include "models/diffusion/noise_schedule.h"

#include <cmath>

#include <gtest/gtest.h>

#include "harness/base/error.h"
#include "models/diffusion/mask_count.h"

namespace dlm {
namespace {

TEST(NoiseSchedule, HasThePublishedValues) {
  // By hand at t = 0.25.
  const auto at = [](std::string_view name) {
    return noise_level(parse_noise_schedule(name), 0.25);
  };
  EXPECT_DOUBLE_EQ(at("linear").mask_probability, 0.25);
  EXPECT_DOUBLE_EQ(at("linear").weight, 4);
  EXPECT_DOUBLE_EQ(at("square").mask_probability, 0.0625);
  EXPECT_DOUBLE_EQ(at("square").weight, 8);
  EXPECT_DOUBLE_EQ(at("square_root").mask_probability, 0.5);
  EXPECT_DOUBLE_EQ(at("square_root").weight, 2);
  EXPECT_NEAR(at("log").mask_probability, 0.32192809488736235, 1e-15);
  EXPECT_NEAR(at("log").weight, 1 / (std::log(1.25) * 1.25), 1e-14);
  EXPECT_NEAR(at("cosine").mask_probability, 0.07704434702122, 1e-13);
  EXPECT_NEAR(at("cosine").weight,
              0.999 * 0.3826834323650898 * 1.5707963267948966 / 0.07804434702122, 1e-11);
  EXPECT_DOUBLE_EQ(at("mdlm").mask_probability, 0.24975);
  EXPECT_DOUBLE_EQ(at("mdlm").weight, 4);
}

TEST(NoiseSchedule, IsClampedWhereThePublishedOnesAre) {
  EXPECT_DOUBLE_EQ(noise_level(NoiseSchedule::kSquare, 0.01).mask_probability, 1e-3);
  EXPECT_DOUBLE_EQ(noise_level(NoiseSchedule::kSquare, 0.01).weight, 0.02 / 1e-3);
  EXPECT_DOUBLE_EQ(noise_level(NoiseSchedule::kSquareRoot, 1e-8).mask_probability, 1e-3);
}

// The loss is the same under every schedule: the mean weight of a mask of k of n tokens, over t, is
// 1/k. Midpoint rule on 200,000 cells. `square` and `cosine` miss what lies below p = 1e-3; and
// cosine's weight has the + 1e-3 below the line.
TEST(NoiseSchedule, LeavesTheExpectedLossAlone) {
  constexpr int kCells = 200'000;
  for (const std::string& name : noise_schedule_names()) {
    const NoiseSchedule schedule = parse_noise_schedule(name);
    for (const std::int64_t k : {1, 2, 4}) {
      double mean = 0;
      for (int i = 0; i < kCells; ++i) {
        const NoiseLevel level = noise_level(schedule, (i + 0.5) / kCells);
        mean += level.weight * std::exp(log_choose(4, k)) *
                std::pow(level.mask_probability, static_cast<double>(k)) *
                std::pow(1 - level.mask_probability, static_cast<double>(4 - k)) / kCells;
      }
      const double tolerance = name == "cosine" ? 0.03 : 0.005;
      EXPECT_NEAR(mean * static_cast<double>(k), 1, tolerance) << name << " k " << k;
    }
  }
}

// Against the midpoint rule on 200,000 cells of [1e-3, 1].
TEST(NoiseSchedule, MeanTokenWeightIsThatOfItsLevels) {
  constexpr int kCells = 200'000;
  for (const std::string& name : noise_schedule_names()) {
    const NoiseSchedule schedule = parse_noise_schedule(name);
    double mean = 0;
    for (int i = 0; i < kCells; ++i) {
      const NoiseLevel level = noise_level(schedule, 1e-3 + 0.999 * (i + 0.5) / kCells);
      mean += level.weight * level.mask_probability / kCells;
    }
    EXPECT_NEAR(mean_token_weight(schedule, 1e-3, 1), mean, 1e-6) << name;
  }
  EXPECT_NEAR(mean_token_weight(NoiseSchedule::kSquareRoot, 1e-3, 1), 0.9693, 1e-4);
  EXPECT_NEAR(mean_token_weight(NoiseSchedule::kCosine, 1e-3, 1), 0.9938, 1e-4);
  EXPECT_DOUBLE_EQ(mean_token_weight(NoiseSchedule::kMdlm, 1e-3, 1), 0.999);
  EXPECT_DOUBLE_EQ(mean_token_weight(NoiseSchedule::kLinear, 1, 1), 1);
}

TEST(NoiseSchedule, NamesTheKnownOnes) {
  try {
    parse_noise_schedule("cosin");
    FAIL() << "accepted";
  } catch (const ConfigError& error) {
    EXPECT_NE(std::string(error.what()).find("cosine"), std::string::npos) << error.what();
  }
}

}  // namespace
}  // namespace dlm
