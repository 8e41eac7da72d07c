#include "harness/score_loop.h"

#include <algorithm>
#include <map>
#include <set>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "harness/base/error.h"
#include "models/exact/exact_denoiser.h"
#include "models/exact/exact_world.h"

namespace dlm {
namespace {

// Documents of different lengths, the longer ones cut into two windows.
std::vector<ScoringUnit> make_units(const ExactWorld& world, std::size_t count) {
  std::vector<ScoringUnit> units;
  for (std::size_t i = 0; i < count; ++i) {
    const auto ids = world.draw(3, i, static_cast<std::int64_t>(5 + 7 * i % 40));
    ScoringUnit unit;
    unit.id = "d" + std::to_string(i);
    unit.bytes = static_cast<std::int64_t>(ids.size());
    unit.windows.push_back({ids, 0});
    if (i % 3 == 0)
      unit.windows.push_back({ids, 2});
    units.push_back(unit);
  }
  return units;
}

std::map<std::string, ExampleRow> score(const ExactWorld& world,
                                        const std::vector<ScoringUnit>& units,
                                        std::int64_t batch_size,
                                        const std::set<std::string>& done = {}) {
  std::map<std::string, ExampleRow> rows;
  score_units(*make_autoregressive_scorer(world), units, make_batches(units, batch_size), done,
              [&](std::span<const ExampleRow> finished, std::int64_t) {
                for (const ExampleRow& row : finished)
                  EXPECT_TRUE(rows.emplace(row.doc_id, row).second);
                return Continue::kYes;
              });
  return rows;
}

TEST(MakeBatches, HoldsEveryWindowOnceAndLittlePadding) {
  const auto world = make_exact_world("exact:markov?v=4");
  const auto units = make_units(*world, 100);
  std::set<std::pair<std::size_t, std::size_t>> seen;
  for (const BatchRefs& batch : make_batches(units, 8)) {
    EXPECT_LE(batch.size(), 8U);
    std::size_t longest = 0;
    for (const WindowRef& ref : batch) {
      EXPECT_TRUE(seen.insert({ref.unit, ref.window}).second);
      const std::size_t length = units[ref.unit].windows[ref.window].ids.size();
      EXPECT_LE(length, longest == 0 ? length : longest) << "not sorted by length";
      longest = std::max(longest, length);
    }
  }
  EXPECT_EQ(seen.size(), 134U);
}

TEST(ScoreUnits, RowsAreTheSameAtAnyBatchSize) {
  const auto world = make_exact_world("exact:markov?v=4");
  const auto units = make_units(*world, 50);
  const auto one = score(*world, units, 1);
  const auto eight = score(*world, units, 8);
  ASSERT_EQ(one.size(), 50U);
  ASSERT_EQ(eight.size(), 50U);
  for (const auto& [id, row] : one) {
    EXPECT_DOUBLE_EQ(row.nll, eight.at(id).nll);
    EXPECT_EQ(row.tokens, eight.at(id).tokens);
    EXPECT_EQ(row.counts.passes, eight.at(id).counts.passes);
    EXPECT_EQ(row.counts.head_rows, eight.at(id).counts.head_rows);
  }
}

TEST(ScoreUnits, NllIsTheDocumentsOwn) {
  const auto world = make_exact_world("exact:markov?v=4");
  const auto units = make_units(*world, 2);
  const auto rows = score(*world, units, 8);
  EXPECT_NEAR(rows.at("d1").nll, -world->log_probability(units[1].windows[0].ids), 1e-12);
  EXPECT_EQ(rows.at("d1").tokens, static_cast<std::int64_t>(units[1].windows[0].ids.size()));
}

TEST(ScoreUnits, DoneUnitsAreLeftOutAndTheRestIsUnchanged) {
  const auto world = make_exact_world("exact:markov?v=4");
  const auto units = make_units(*world, 50);
  const auto all = score(*world, units, 8);
  std::set<std::string> done;
  for (int i = 0; i < 50; i += 2) done.insert("d" + std::to_string(i));
  const auto rest = score(*world, units, 8, done);
  EXPECT_EQ(rest.size(), 25U);
  for (const auto& [id, row] : rest) {
    EXPECT_FALSE(done.contains(id));
    EXPECT_EQ(row.nll, all.at(id).nll) << "to the bit";
    EXPECT_EQ(row.counts.positions, all.at(id).counts.positions);
  }
}

// 2^n - 1 masks are counted for no block that has too many: the plan refuses it.
TEST(CheckBlockWindows, RefusesBlocksOfTooManyMasks) {
  const auto denoiser = make_exact_denoiser("exact:markov?v=4");
  const auto check = [&](std::int64_t length, const char* first_token) -> std::string {
    ScoringUnit unit;
    unit.id = "d";
    const std::int64_t first = std::string(first_token) == "clean" ? 1 : 0;
    unit.windows.push_back({denoiser->world().draw(1, 0, length), first});
    EstimatorOptions options;
    options.name = "enumerate";
    options.first_token = first_token;
    try {
      check_block_windows({&unit, 1}, options, *denoiser);
    } catch (const ConfigError& error) {
      return error.what();
    }
    return std::to_string(make_diffusion_scorer(*denoiser, options)->passes(unit.windows[0]));
  };
  EXPECT_EQ(check(12, "scored"), "4095");
  EXPECT_EQ(check(13, "clean"), "4095");
  EXPECT_NE(check(13, "scored").find("blocks of at most 12 tokens"), std::string::npos);
  EXPECT_NE(check(64, "scored").find("64 tokens have 2^64 - 1 masks"), std::string::npos);
}

}  // namespace
}  // namespace dlm
