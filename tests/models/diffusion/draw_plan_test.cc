#include "models/diffusion/draw_plan.h"

#include <cmath>

#include <gtest/gtest.h>

#include "harness/base/error.h"

namespace dlm {
namespace {

TEST(ChooseDraws, FindsTheSquareRootRule) {
  // sqrt(var_mc cost_clean / (var_data cost_draw)) = sqrt(16 * 4 / (1 * 1)) = 8.
  const DrawPlan plan =
      choose_draws({.var_data = 1, .var_mc_per_draw = 16, .cost_clean = 4, .cost_draw = 1}, 0.001);
  EXPECT_EQ(plan.draws, 8);
  EXPECT_EQ(plan.documents, 3'000'000);
  EXPECT_DOUBLE_EQ(plan.cost, 3e6 * 12);
  EXPECT_NEAR(plan.std_error, 0.001, 1e-12);
  EXPECT_TRUE(plan.reaches_target);
}

TEST(ChooseDraws, DrawsOnceWhereEncodingIsFree) {
  EXPECT_EQ(choose_draws({.var_data = 1, .var_mc_per_draw = 16}, 0.01).draws, 1);
  EXPECT_EQ(choose_draws({.var_data = 1, .var_mc_per_draw = 0, .cost_clean = 9}, 0.01).draws, 1);
}

TEST(ChooseDraws, DrawsMoreWhereDocumentsRunOut) {
  DrawCosts costs{.var_data = 1, .var_mc_per_draw = 16, .max_documents = 500};
  // 500 documents leave 0.25 of the wanted variance 0.0025 * 500 = 1.25 for the draws: 16 / 64.
  const DrawPlan plan = choose_draws(costs, 0.05);
  EXPECT_EQ(plan.draws, 64);
  EXPECT_EQ(plan.documents, 500);
  EXPECT_TRUE(plan.reaches_target);
  costs.max_documents = 499;
  const DrawPlan short_of = choose_draws(costs, 0.05);
  EXPECT_FALSE(short_of.reaches_target);
  EXPECT_EQ(short_of.draws, 64);
  EXPECT_EQ(short_of.documents, 499);
  EXPECT_NEAR(short_of.std_error, std::sqrt(1.25 / 499), 1e-12);
}

// Against every pair, over a grid of costs.
TEST(ChooseDraws, IsCheapest) {
  for (const double var_mc : {0.0, 0.3, 5.0}) {
    for (const double clean : {0.0, 1.0, 7.0}) {
      const DrawCosts costs{.var_data = 0.7, .var_mc_per_draw = var_mc, .cost_clean = clean};
      const DrawPlan plan = choose_draws(costs, 0.1);
      for (std::int64_t draws = 1; draws <= 64; ++draws) {
        for (std::int64_t documents = 1; documents < 700; ++documents) {
          const auto m = static_cast<double>(draws);
          const auto n = static_cast<double>(documents);
          if (std::sqrt((0.7 + var_mc / m) / n) <= 0.1) {
            EXPECT_GE(n * (clean + m), plan.cost * (1 - 1e-12));
          }
        }
      }
    }
  }
}

TEST(ChooseDraws, RefusesBadCosts) {
  const auto refusal = [](const DrawCosts& costs, double target) -> std::string {
    try {
      choose_draws(costs, target);
    } catch (const ConfigError& error) {
      return error.what();
    }
    return "accepted";
  };
  EXPECT_EQ(refusal({.var_data = -1}, 0.1), "var_data = '-1': 0 or more");
  EXPECT_EQ(refusal({.var_mc_per_draw = NAN}, 0.1), "var_mc_per_draw = 'nan': 0 or more");
  EXPECT_EQ(refusal({.cost_draw = 0}, 0.1), "cost_draw = '0': above 0");
  EXPECT_EQ(refusal({}, 0), "target standard error = '0': above 0");
  EXPECT_EQ(refusal({.max_draws = 0}, 0.1), "max_draws = '0': an integer >= 1");
}

TEST(StoppingRule, LooksOnlyAtTheSetNumbersOfDocuments) {
  StoppingRule rule({.relative = 0.005, .min_documents = 20, .check_every = 10});
  // Two values in turn: the half-width at n documents is about t * 0.5 / sqrt(n) per 100 tokens.
  std::int64_t stopped = 0;
  for (std::int64_t i = 1; stopped == 0 && i < 1000; ++i) {
    if (rule.add(i % 2 == 0 ? 301 : 299, 100))
      stopped = i;
  }
  // 0.01 t / sqrt(n - 1) <= ln 1.005: met from 18 on, so at the first look.
  EXPECT_EQ(stopped, 20);
  EXPECT_EQ(rule.documents(), 20);
  EXPECT_NEAR(rule.estimate()->value, 3, 1e-12);
  StoppingRule narrow({.relative = 0.002, .min_documents = 20, .check_every = 10});
  stopped = 0;
  for (std::int64_t i = 1; stopped == 0 && i < 1000; ++i) {
    if (narrow.add(i % 2 == 0 ? 301 : 299, 100))
      stopped = i;
  }
  EXPECT_EQ(stopped, 100);
  const auto half = t_interval(*narrow.estimate()).value();
  EXPECT_LE((half.high - half.low) / 2, std::log1p(0.002));
}

TEST(StoppingRule, RefusesBadTargets) {
  const auto refusal = [](const TargetInterval& target) -> std::string {
    try {
      StoppingRule rule(target);
    } catch (const ConfigError& error) {
      return error.what();
    }
    return "accepted";
  };
  EXPECT_EQ(refusal({.relative = 0}), "target interval = '0': in (0, 1]");
  EXPECT_EQ(refusal({.level = 1}), "level = '1': inside (0, 1)");
  EXPECT_EQ(refusal({.min_documents = 1}),
            "documents = '1, every 10': at least 2, every 1 or more");
}

}  // namespace
}  // namespace dlm
