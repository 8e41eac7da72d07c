#include "metrics/mauve_curve.h"

#include <cmath>
#include <limits>

#include <gtest/gtest.h>

#include "harness/base/error.h"

namespace dlm {
namespace {

TEST(MauveCurve, ScoresOfSmallHistogramsAreTheClosedFormOnes) {
  struct Case {
    std::vector<double> p, q;
    double scaling, mauve, frontier;
  };

  // Of the pairs (.1, .4) and (.2, .3), each twice.
  const double mirrored = 4 * (.25 - .04 * std::log(4) / .6 - .06 * std::log(1.5) / .2);
  const std::vector<Case> cases{
      {{.5, .5, 0}, {0, .5, .5}, 5, .09257236294829274, .5},
      {{1, 0}, {0, 1}, 5, .0040720962619612555, 1},
      {{.7, .3}, {.4, .6}, 5, .8998920296771844, .06180362292430497},
      {{.1, .2, .3, .4}, {.4, .3, .2, .1}, 5, .6538536633533254, mirrored},
      {{.1, .2, .3, .4}, {.4, .3, .2, .1}, 1, .9737737476169654, mirrored},
      {{.7, .3}, {.4, .6}, 1, .9946596831256695, .06180362292430497},
  };
  for (const Case& c : cases) {
    const auto curve = divergence_curve(c.p, c.q, {.scaling = c.scaling});
    EXPECT_EQ(curve.size(), 27U);
    EXPECT_NEAR(curve_area(curve), c.mauve, 1e-12);
    EXPECT_NEAR(frontier_integral(c.p, c.q), c.frontier, 1e-12);
  }
}

TEST(MauveCurve, EqualHistogramsScoreOneAndZero) {
  const std::vector<std::int64_t> counts{5, 0, 5};
  const MauveScores scores = mauve_scores(counts, counts);
  EXPECT_EQ(scores.mauve, 1.0);
  EXPECT_EQ(scores.mauve_star, 1.0);
  EXPECT_EQ(scores.frontier_integral, 0.0);
  EXPECT_EQ(scores.frontier_integral_star, 0.0);
}

TEST(MauveCurve, ScoresAreSymmetricAndIgnoreTheOrderOfBins) {
  const std::vector<std::int64_t> p{3, 0, 7, 1}, q{1, 2, 2, 9};
  const std::vector<std::int64_t> p_back(p.rbegin(), p.rend()), q_back(q.rbegin(), q.rend());
  const MauveScores one = mauve_scores(p, q), swapped = mauve_scores(q, p),
                    back = mauve_scores(p_back, q_back);
  EXPECT_NEAR(one.mauve, swapped.mauve, 1e-12);
  EXPECT_NEAR(one.mauve, back.mauve, 1e-12);
  EXPECT_NEAR(one.frontier_integral_star, swapped.frontier_integral_star, 1e-12);
  EXPECT_GT(one.mauve_star, one.mauve);  // smoothing moves the two together
}

TEST(MauveCurve, SmoothingAddsHalfACount) {
  const std::vector<std::int64_t> p{1, 0}, q{0, 3};
  EXPECT_NEAR(mauve_scores(p, q).frontier_integral_star,
              frontier_integral(std::vector<double>{.75, .25}, std::vector<double>{.125, .875}),
              1e-15);
}

TEST(MauveCurve, RefusesWhatIsNoHistogram) {
  const std::vector<double> good{.5, .5}, longer{.2, .3, .5}, negative{1.5, -.5},
      nan{.5, std::numeric_limits<double>::quiet_NaN()};
  EXPECT_THROW(frontier_integral(good, longer), ConfigError);
  EXPECT_THROW(divergence_curve(good, negative), ConfigError);
  EXPECT_THROW(divergence_curve(nan, good), ConfigError);
  EXPECT_THROW(divergence_curve({}, {}), ConfigError);
  EXPECT_THROW(divergence_curve(good, good, {.scaling = 0}), ConfigError);
  EXPECT_THROW(divergence_curve(good, good, {.mixtures = 1}), ConfigError);
  const std::vector<std::int64_t> none{0, 0}, some{1, 0}, below{-1, 2};
  EXPECT_THROW(mauve_scores(none, some), ConfigError);
  EXPECT_THROW(mauve_scores(below, some), ConfigError);
}

}  // namespace
}  // namespace dlm
