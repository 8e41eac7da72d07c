// Statistics of two measurements of the same documents: the difference of their ratio estimates,
// its interval and its power. One unit is one independent cluster of documents. Doubles throughout.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "harness/base/stats.h"

namespace dlm {

// What A and B measured on one cluster: a numerator (nats, points, ...) and a denominator (tokens,
// documents, ...) each.
struct PairedUnit {
  double y_a = 0, x_a = 0;
  double y_b = 0, x_b = 0;
};

struct PairedDifference {
  double a = 0;  // sum y_a / sum x_a
  double b = 0;
  MeanEstimate difference;            // b - a; n = units, degrees = units - 1
  std::optional<double> correlation;  // of the residuals of A and B; absent where one has none
};

// b - a with its linearised standard error: sqrt(m/(m-1) sum_c d_c^2), d_c the difference of the
// units' residuals (y - R x) / sum x. Throws ConfigError where `units` is empty, a denominator is
// negative, or the denominators of one side sum to 0. Source: Cochran, Sampling Techniques, 3rd
// ed., 6.4 and 6.8.
PairedDifference paired_difference(std::span<const PairedUnit> units);

// Two-sided p of "no difference" by the t distribution; 1 where the difference is exactly 0 in
// every unit, 0 where it is the same, not 0, in every one. Absent for fewer than two units.
std::optional<double> t_test_p(const MeanEstimate& difference);

// Percentile interval of b - a by resampling units with replacement; draws come from (seed,
// Purpose::kBootstrap, draw). The same at any thread count. Throws ConfigError like
// paired_difference, and for fewer than two units or draws < 1.
Interval paired_bootstrap(std::span<const PairedUnit> units, std::int64_t draws, std::uint64_t seed,
                          double level = 0.95);

// Exact two-sided McNemar test of `only_a` and `only_b` discordant pairs: both tails of a binomial
// with p = 1/2. 1 where there are none. Counts >= 0 (ConfigError).
double mcnemar_p(std::int64_t only_a, std::int64_t only_b);

// Outcomes of documents that are right (1) or wrong (0) under A and B.
struct PairedCounts {
  std::int64_t both = 0, only_a = 0, only_b = 0, neither = 0;
};

// Interval of the difference of two paired proportions, b - a: Wald's after 1/2 is added to each
// cell. Source: Agresti and Min, Statistics in Medicine 24 (2005) 729. At least one document
// (ConfigError).
Interval paired_proportions_interval(const PairedCounts& counts, double level = 0.95);

// Holm's step-down adjustment: adjusted[i] <= alpha for any i has probability <= alpha where every
// null hypothesis is true. Source: Holm, Scand. J. Statist. 6 (1979) 65.
std::vector<double> holm_adjusted(std::span<const double> p_values);

// Units needed so that a true difference of 0 is shown to lie inside +-margin (TOST), and one of
// margin is shown to differ from 0, each with probability `power` at level `alpha`: the larger of
// the two, by the normal approximation. `unit_sd` is the standard deviation of the difference times
// sqrt(units). margin > 0, power and alpha in (0, 1) (ConfigError).
std::int64_t needed_units(double unit_sd, double margin, double power = 0.8, double alpha = 0.05);

}  // namespace dlm
