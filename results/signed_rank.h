// Differences of pairs judged by ranks: Wilcoxon's signed-rank test and the Hodges-Lehmann centre.
// An outlier counts no more than the largest rank, so a pair that the machine disturbed does not
// decide.
#pragma once

#include <optional>
#include <span>

#include "harness/base/stats.h"
#include "results/rank_stats.h"

namespace dlm {

// Two-sided test of "the differences lie symmetrically around 0"; u is the sum of the ranks of the
// positive ones. Differences of 0 are left out (p = 1 where none is left), ties share their mean
// rank. Exact, over all signs, up to 200 differences; above them the normal approximation with the
// corrections for ties and continuity. Throws ConfigError where there are none. Source: Wilcoxon,
// Biometrics Bulletin 1 (1945) 80; Hollander, Wolfe and Chicken, 3rd ed., 3.1.
RankTest signed_rank(std::span<const double> differences);

struct Centre {
  double value = 0;                  // median of all (d_i + d_j) / 2, i <= j
  std::optional<Interval> interval;  // at `level`; absent for too few differences for that level
  std::optional<Interval> inner_interval;
};

// The centre of `differences` and its intervals (Tukey), by the exact distribution up to 200 of
// them and its normal approximation above. Levels in (0, 1); throws ConfigError for others and
// where there are no differences. Source: Hollander, Wolfe and Chicken, 3rd ed., 3.2-3.3.
Centre centre_estimate(std::span<const double> differences, double level, double inner_level);

}  // namespace dlm
