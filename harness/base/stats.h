// Statistics of means and ratios over independent documents. All sums in double; all intervals
// two-sided.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace dlm {

struct Interval {
  double low = 0;
  double high = 0;
};

// A point estimate with its standard error; `degrees` is the degrees of freedom of a t interval
// (n_clusters - 1).
struct MeanEstimate {
  double value = 0;
  std::optional<double> std_error;  // absent for fewer than two units
  std::int64_t n = 0;
  std::int64_t degrees = 0;
};

// Mean and standard error sd / sqrt(n) (two passes). Throws ConfigError on an empty span.
MeanEstimate mean_estimate(std::span<const double> values);

// sum(numerator) / sum(denominator) over independent units, with the linearised (delta-method,
// n/(n-1)) standard error. Source: Cochran, Sampling Techniques, 3rd ed., 6.4. Throws ConfigError
// if empty, if a denominator is negative, or if they sum to 0.
MeanEstimate ratio_estimate(std::span<const double> numerators,
                            std::span<const double> denominators);

// The same where units of one cluster are dependent: sums per cluster first. `clusters[i]` is the
// cluster's number (any distinct numbers); `n` of the result counts units, `degrees` clusters - 1.
MeanEstimate clustered_ratio_estimate(std::span<const double> numerators,
                                      std::span<const double> denominators,
                                      std::span<const std::int64_t> clusters);

// value +- t_{degrees}(1 - (1 - level)/2) * std_error; absent where std_error is.
std::optional<Interval> t_interval(const MeanEstimate& estimate, double level = 0.95);

// The ratio of sums so far and its uncertainty over independent units, for a live progress line:
// one update costs a few additions. Agrees with ratio_estimate up to cancellation in the residual
// sum of squares (about 1e-16 of the sum of squared numerators).
class RunningRatio {
 public:
  // Adds one unit; throws ConfigError for a negative denominator.
  void add(double numerator, double denominator);

  // Absent until the denominators sum to more than 0.
  std::optional<MeanEstimate> estimate() const;

  // Half of the t interval's width; absent for fewer than two units.
  std::optional<double> half_width(double level = 0.95) const;

 private:
  std::int64_t n_ = 0;
  double sum_y_ = 0, sum_x_ = 0;
  double sum_yy_ = 0, sum_xy_ = 0, sum_xx_ = 0;
};

// Wilson score interval of `successes` of `n`; n >= 1, 0 <= successes <= n (ConfigError). Source:
// Wilson, JASA 22 (1927) 209.
Interval wilson_interval(std::int64_t successes, std::int64_t n, double level = 0.95);

// Percentile interval of a ratio by resampling clusters with replacement; draws come from (seed,
// Purpose::kBootstrap). The same at any thread count. A resample whose denominators sum to 0 is
// drawn again. Throws ConfigError like ratio_estimate, and for fewer than two clusters or draws
// < 1.
Interval cluster_bootstrap_ratio(std::span<const double> numerators,
                                 std::span<const double> denominators,
                                 std::span<const std::int64_t> clusters, std::int64_t draws,
                                 std::uint64_t seed, double level = 0.95);

// Distribution functions, to about 1e-13 relative (1e-10 for arguments near 1e6). Source:
// Abramowitz and Stegun 26.2, 26.5.8, 26.7; inverses by bisection to the last digits. Quantiles
// take p in [1e-100, 1 - 1e-16]; degrees > 0 (ConfigError).
double normal_cdf(double x);
double normal_quantile(double p);
double incomplete_beta(double a, double b, double x);  // regularised I_x(a, b)
double student_t_cdf(double t, double degrees);
double student_t_quantile(double p, double degrees);

// Linear-interpolated quantile of unsorted values (numpy default, "linear"); q in [0, 1]. Throws
// ConfigError on an empty span.
double quantile(std::span<const double> values, double q);

}  // namespace dlm
