// The grid of intervals, the variance of the NELBO and the search.
#include "models/diffusion/clipped_schedule.h"

#include <cmath>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "harness/base/error.h"
#include "tests/models/diffusion/fixture.h"
#include "tests/models/diffusion/worlds.h"

namespace dlm {
namespace {

using testing::Ids;

TEST(CandidateIntervals, AreThirtySix) {
  const auto intervals = candidate_intervals({}, 4);
  ASSERT_EQ(intervals.size(), 36U);
  EXPECT_EQ(intervals[0].low, 1e-3);
  EXPECT_EQ(intervals[0].high, 1);
  EXPECT_EQ(intervals[1].low, static_cast<double>(1e-3F));
  EXPECT_EQ(intervals[1].high, 0.5);
  const auto single = candidate_intervals({}, 1);
  ASSERT_EQ(single.size(), 2U);
  EXPECT_EQ(single[1].low, 1);
}

TEST(CandidateIntervals, RefuseBadGrids) {
  const auto refusal = [](const IntervalGrid& grid) -> std::string {
    try {
      candidate_intervals(grid, 4);
    } catch (const ConfigError& error) {
      return error.what();
    }
    return "accepted";
  };
  EXPECT_EQ(refusal({{1.5}, 0.05}), "width = '1.5': in (0, 1]");
  EXPECT_EQ(refusal({{0.5}, 0}), "delta = '0': above 0");
}

TEST(NelboVariance, IsOfBlockMeans) {
  // Block means 1, 3, 2, 6: mean 3, squares 4 + 0 + 1 + 9 over 3.
  const std::vector<std::vector<double>> losses = {{0, 2, 4, 2}, {1, 3, 6, 6}};
  EXPECT_DOUBLE_EQ(nelbo_variance(losses, 2), 14.0 / 3);
  EXPECT_THROW(nelbo_variance(losses, 3), ConfigError);
  EXPECT_THROW(nelbo_variance(std::vector<std::vector<double>>{{1, 2}}, 2), ConfigError);
}

TEST(SmallestVariance, IsTheFirstAmongEquals) {
  EXPECT_EQ(smallest_variance(std::vector<double>{3, 1, 2, 1}), 1U);
  EXPECT_THROW(smallest_variance({}), ConfigError);
}

std::vector<std::vector<Ids>> batches_of(const ExactWorld& world, std::uint64_t count,
                                         std::uint64_t rows) {
  std::vector<std::vector<Ids>> batches(count);
  for (std::uint64_t i = 0; i < count * rows; ++i)
    batches[i / rows].push_back(world.draw(1, i, 32));
  return batches;
}

// What the papers found: narrow windows around the middle beat the whole interval for small blocks,
// and for single tokens full masking wins.
TEST(ClippedScheduleSearch, FindsAQuieterInterval) {
  const auto denoiser = make_exact_denoiser("exact:markov?v=8&seed=1");
  const auto batches = batches_of(denoiser->world(), 20, 8);
  const ScheduleSearch search = search_clipped_schedule(*denoiser, batches, {});
  ASSERT_EQ(search.intervals.size(), 36U);
  EXPECT_NE(search.best, 0U);
  EXPECT_LT(search.intervals[search.best].mean, 0.25 * search.intervals[0].mean);
  for (const IntervalVariance& row : search.intervals)
    EXPECT_GE(row.mean, search.intervals[search.best].mean);
  ClippedSearchOptions single;
  single.block_size = 1;
  const ScheduleSearch tokens = search_clipped_schedule(*denoiser, batches, single);
  EXPECT_EQ(tokens.best, 1U);
}

// To the bit; and batches beyond the limit are left out.
TEST(ClippedScheduleSearch, IsTheSameInAnyChunk) {
  const auto denoiser = make_exact_denoiser("exact:markov?v=8&seed=1");
  const auto batches = batches_of(denoiser->world(), 3, 4);
  ClippedSearchOptions options;
  const ScheduleSearch one = search_clipped_schedule(*denoiser, batches, options);
  options.chunk_positions = 1;
  const ScheduleSearch other = search_clipped_schedule(*denoiser, batches, options);
  for (std::size_t i = 0; i < one.intervals.size(); ++i)
    EXPECT_EQ(one.intervals[i].mean, other.intervals[i].mean);
  options.max_batches = 1;
  const ScheduleSearch first = search_clipped_schedule(*denoiser, batches, options);
  const ScheduleSearch alone =
      search_clipped_schedule(*denoiser, std::span(batches).first(1), options);
  EXPECT_EQ(first.intervals[3].mean, alone.intervals[3].mean);
  EXPECT_NE(first.intervals[3].mean, one.intervals[3].mean);
}

TEST(ClippedScheduleGolden, CandidatesAreThePublishedOnes) {
  DLM_REQUIRE_DATA("fixtures/clipped_schedule");
  const testing::Fixture fixture("fixtures/clipped_schedule/expected.safetensors");
  const IntervalGrid standard;
  const auto check = [&](const std::string& name, const IntervalGrid& grid,
                         std::int64_t block_size) {
    const auto expected = fixture.get(name);
    const auto intervals = candidate_intervals(grid, block_size);
    ASSERT_EQ(std::ssize(intervals), expected.shape[0]) << name;
    for (std::int64_t i = 0; i < std::ssize(intervals); ++i) {
      const NoiseInterval& interval = intervals[static_cast<std::size_t>(i)];
      EXPECT_EQ(interval.low, expected.at(2 * i)) << name << " " << i;
      EXPECT_EQ(interval.high, expected.at(2 * i + 1)) << name << " " << i;
    }
  };
  check("candidates0", standard, 4);
  check("candidates1", standard, 1);
  check("candidates2", {{}, 0.05}, 16);
  check("candidates3", {{0.5, 0.25}, 0.1}, 8);
  check("search0.intervals", standard, 4);
  check("search1.intervals", {{0.5}, 0.05}, 8);
  check("search2.intervals", standard, 1);
}

TEST(ClippedScheduleGolden, VariancesAndChoicesAreThePublishedOnes) {
  DLM_REQUIRE_DATA("fixtures/clipped_schedule");
  const testing::Fixture fixture("fixtures/clipped_schedule/expected.safetensors");
  for (const auto& [set, block_size] : {std::pair{0, 4}, std::pair{1, 8}, std::pair{2, 1}}) {
    const auto nlls = fixture.get(fmt::format("search{}.nlls", set));
    const auto sums = fixture.get(fmt::format("search{}.variance_sum", set));
    const std::int64_t length = nlls.shape[3];
    const std::int64_t rows = nlls.shape[2];
    std::vector<double> variances;
    for (std::int64_t i = 0; i < nlls.shape[0]; ++i) {
      double sum = 0;
      for (std::int64_t batch = 0; batch < nlls.shape[1]; ++batch) {
        const auto begin = nlls.values.begin() + (i * nlls.shape[1] + batch) * rows * length;
        std::vector<std::vector<double>> losses;
        for (std::int64_t row = 0; row < rows; ++row)
          losses.emplace_back(begin + row * length, begin + (row + 1) * length);
        sum += nelbo_variance(losses, block_size);
      }
      EXPECT_NEAR(sum, sums.at(i), 1e-5 * (1 + sums.at(i))) << set << " interval " << i;
      variances.push_back(sum);
    }
    const auto best =
        static_cast<std::size_t>(fixture.get(fmt::format("search{}.best_index", set)).at(0));
    EXPECT_EQ(smallest_variance(variances), best) << set;
    const auto chosen = fixture.get(fmt::format("search{}.best", set));
    const auto intervals = fixture.get(fmt::format("search{}.intervals", set));
    EXPECT_FLOAT_EQ(static_cast<float>(intervals.at(2 * static_cast<std::int64_t>(best))),
                    static_cast<float>(chosen.at(0)));
  }
}

TEST(ClippedScheduleGolden, ReportsTheIntervalsThatThePublishedCodeDoes) {
  DLM_REQUIRE_DATA("fixtures/clipped_schedule");
  const testing::Fixture fixture("fixtures/clipped_schedule/expected.safetensors");
  const auto rows = fixture.get("valid_bound");
  for (std::int64_t i = 0; i < rows.shape[0]; ++i) {
    const auto single = rows.at(5 * i + 1) == 1 ? SingleToken::kNll : SingleToken::kNelbo;
    EXPECT_EQ(is_reported_interval({rows.at(5 * i + 2), rows.at(5 * i + 3)},
                                   static_cast<std::int64_t>(rows.at(5 * i)), single),
              rows.at(5 * i + 4) == 1)
        << "row " << i;
  }
}

}  // namespace
}  // namespace dlm
