#include "harness/live_accuracy.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include <gtest/gtest.h>

#include "harness/base/random.h"

namespace dlm {
namespace {

ExampleRow row_of(bool is_right) {
  ExampleRow row;
  row.score = is_right ? 1 : 0;
  return row;
}

// Adds documents of one sample until the target is met, at most `most`.
std::int64_t add_until_met(LiveAccuracy& live, std::int64_t most, auto is_right) {
  while (live.documents() < most && !live.is_met()) live.add(row_of(is_right(live.documents())));
  return live.documents();
}

TEST(LiveAccuracy, IsMetAtTheFirstLookWhoseIntervalIsNarrowEnough) {
  LiveAccuracy all_right(0.05, 1);
  EXPECT_EQ(add_until_met(all_right, 1000, [](auto) { return true; }), 50);
  EXPECT_NEAR(all_right.interval().low, 0.92865, 1e-5);  // 1 / (1 + z^2 / 50)
  // Half right: z sqrt(n/4 + z^2/4) / (n + z^2) falls below 0.1 between 90 and 100.
  LiveAccuracy half_right(0.1, 1);
  EXPECT_EQ(add_until_met(half_right, 1000, [](auto i) { return i % 2 == 0; }), 100);
  EXPECT_EQ(half_right.note(), "accuracy 0.500 [0.404, 0.596] of 100");
  LiveAccuracy no_target(0, 1);
  EXPECT_EQ(add_until_met(no_target, 1000, [](auto) { return true; }), 1000);
  EXPECT_EQ(LiveAccuracy(0.1, 1).note(), "no answer yet");
}

TEST(LiveAccuracy, CountsDocumentsAndNotTheirSamples) {
  // Four samples that always agree are worth one, and an unfinished document is not looked at.
  LiveAccuracy agreeing(0.1, 4);
  for (int row = 0; row < 399; ++row) agreeing.add(row_of(row / 4 % 2 == 0));
  EXPECT_EQ(agreeing.documents(), 99);
  EXPECT_FALSE(agreeing.is_met());
  agreeing.add(row_of(false));
  EXPECT_TRUE(agreeing.is_met());
  EXPECT_NEAR(agreeing.interval().high, 0.5 + 1.98422 * std::sqrt(0.25 / 99), 1e-4);
  // Two samples that always differ: every document is half right, and the first look is enough.
  LiveAccuracy differing(0.15, 2);
  for (int row = 0; row < 100; ++row) differing.add(row_of(row % 2 == 0));
  EXPECT_TRUE(differing.is_met());
  EXPECT_EQ(differing.value(), 0.5);
}

// The interval is narrower towards 0 and 1, so a run stops sooner where it is by chance nearer to
// them: the mean of stopped runs is off by about (1 - 2p) / (p (1 - p)) times the variance of one,
// 0.006 at 0.1 and 0.9. That must stay below a quarter of the target, and the interval must hold.
// 300 runs for each truth, at fixed seeds; the standard error of the mean is 0.0015 and of the
// coverage 0.013, so that a sound rule fails with a chance below 1e-3.
TEST(LiveAccuracy, StoppingBendsTheMeanLittleAndTheIntervalHolds) {
  for (const double truth : {0.1, 0.5, 0.9}) {
    double sum = 0, documents = 0;
    int covered = 0;
    constexpr int kRuns = 300;
    for (std::uint64_t run = 0; run < kRuns; ++run) {
      const RandomStream random(run, Purpose::kTest, 0);
      LiveAccuracy live(0.05, 1);
      documents += static_cast<double>(add_until_met(live, 1319, [&](std::int64_t i) {
        return random.uniform(0, static_cast<std::uint64_t>(i)) < truth;
      }));
      sum += live.value();
      covered += live.interval().low <= truth && truth <= live.interval().high ? 1 : 0;
    }
    EXPECT_NEAR(sum / kRuns, truth, 0.05 / 4) << truth;
    EXPECT_GT(covered / static_cast<double>(kRuns), 0.9) << truth;
    EXPECT_LT(documents / kRuns, 400) << truth;
  }
}

TEST(VisitingOrder, IsAPermutationThatTheSeedDecides) {
  const std::vector<std::int64_t> order = visiting_order(1, 1000);
  std::vector<std::int64_t> sorted = order;
  std::sort(sorted.begin(), sorted.end());
  for (std::int64_t i = 0; i < 1000; ++i) EXPECT_EQ(sorted[static_cast<std::size_t>(i)], i);
  EXPECT_EQ(order, visiting_order(1, 1000));
  EXPECT_NE(order, visiting_order(2, 1000));
  EXPECT_TRUE(visiting_order(1, 0).empty());
}

// Every document is as often among the first tenth: counts over 2,000 seeds are within 5 standard
// deviations of 200 (false alarm below 1e-4 over all 100).
TEST(VisitingOrder, PutsEveryDocumentFirstAlikeOften) {
  std::vector<int> first(100);
  for (std::uint64_t seed = 0; seed < 2000; ++seed) {
    const std::vector<std::int64_t> order = visiting_order(seed, 100);
    for (std::size_t place = 0; place < 10; ++place)
      ++first[static_cast<std::size_t>(order[place])];
  }
  for (const int count : first) EXPECT_NEAR(count, 200, 5 * std::sqrt(200 * 0.9));
}

}  // namespace
}  // namespace dlm
