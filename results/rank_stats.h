// Two independent samples compared by ranks, for times: the Mann-Whitney U test and the
// Hodges-Lehmann shift.
#pragma once

#include <optional>
#include <span>

#include "harness/base/stats.h"

namespace dlm {

struct RankTest {
  double u = 0;  // pairs with b above a, ties count half: U of B
  double p = 1;  // two-sided
  bool exact = false;
};

// Mann-Whitney U of `b` against `a`: exact where there are no ties and at most 400 pairs, else the
// normal approximation with the correction for ties and for continuity. Throws ConfigError where
// one is empty. Source: Mann and Whitney, Ann. Math. Statist. 18 (1947) 50; ties: Lehmann,
// Nonparametrics (1975) 1.4.
RankTest mann_whitney(std::span<const double> a, std::span<const double> b);

struct Shift {
  double value = 0;                  // median of all differences b_j - a_i
  std::optional<Interval> interval;  // at `level`; absent for samples too small for that level
  std::optional<Interval> inner_interval;  // at `inner_level`, for two one-sided tests
};

// The shift of `b` against `a` (Hodges-Lehmann) and its interval (Moses): order statistics of the n
// m differences, found without making them, in O((n + m) log) time. Of the logarithms of two
// samples of times it is the logarithm of their median ratio. Throws ConfigError where one is
// empty. Source: Hollander, Wolfe and Chicken, Nonparametric Statistical Methods, 3rd ed., 4.2-4.3.
Shift shift_estimate(std::span<const double> a, std::span<const double> b, double level = 0.95,
                     double inner_level = 0.90);

}  // namespace dlm
