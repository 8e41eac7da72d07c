#include "metrics/mauve_curve.h"

#include <algorithm>
#include <cmath>

#include "harness/base/error.h"

namespace dlm {
namespace {

void check_histograms(std::span<const double> p, std::span<const double> q) {
  if (p.size() != q.size() || p.empty()) {
    throw ConfigError("histogram", fmt::format("{} and {} bins", p.size(), q.size()),
                      "both need the same bins, at least one");
  }
  for (const std::span<const double> histogram : {p, q}) {
    for (std::size_t bin = 0; bin < histogram.size(); ++bin) {
      if (!std::isfinite(histogram[bin]) || histogram[bin] < 0) {
        throw ConfigError("histogram", fmt::format("{} in bin {}", histogram[bin], bin),
                          "must be finite and not negative");
      }
    }
  }
}

// KL(a || w p + (1 - w) q); finite, since r has mass wherever p or q has.
double divergence_to_mixture(std::span<const double> a, std::span<const double> p,
                             std::span<const double> q, double w) {
  double sum = 0;
  for (std::size_t bin = 0; bin < a.size(); ++bin) {
    if (a[bin] > 0)
      sum += a[bin] * std::log(a[bin] / (w * p[bin] + (1 - w) * q[bin]));
  }
  return std::max(sum, 0.0);
}

// Trapezoids of `ordinate` over `abscissa`.
double trapezoids(std::vector<CurvePoint> points, double CurvePoint::*abscissa,
                  double CurvePoint::*ordinate) {
  std::sort(points.begin(), points.end(), [&](const CurvePoint& a, const CurvePoint& b) {
    return a.*abscissa != b.*abscissa ? a.*abscissa < b.*abscissa : a.*ordinate > b.*ordinate;
  });
  double area = 0;
  for (std::size_t i = 1; i < points.size(); ++i) {
    area += (points[i].*abscissa - points[i - 1].*abscissa) *
            (points[i].*ordinate + points[i - 1].*ordinate) / 2;
  }
  return area;
}

std::vector<double> probabilities(std::span<const std::int64_t> counts, double added) {
  double total = 0;
  for (const std::int64_t count : counts) total += static_cast<double>(count) + added;
  if (!(total > 0))
    throw ConfigError("histogram", fmt::format("{} bins", counts.size()), "needs at least a count");
  std::vector<double> out;
  out.reserve(counts.size());
  for (const std::int64_t count : counts)
    out.push_back((static_cast<double>(count) + added) / total);
  return out;
}

double area_of(std::span<const double> p, std::span<const double> q, const CurveOptions& options) {
  const auto curve = divergence_curve(p, q, options);
  return std::equal(p.begin(), p.end(), q.begin()) ? 1.0 : curve_area(curve);
}

}  // namespace

std::vector<CurvePoint> divergence_curve(std::span<const double> p, std::span<const double> q,
                                         const CurveOptions& options) {
  check_histograms(p, q);
  if (!(options.scaling > 0) || !std::isfinite(options.scaling))
    throw ConfigError("scaling", fmt::format("{}", options.scaling), "must be positive");
  if (options.mixtures < 2)
    throw ConfigError("mixtures", fmt::format("{}", options.mixtures), "must be at least 2");
  if (!(options.margin > 0) || !(options.margin < 0.5))
    throw ConfigError("margin", fmt::format("{}", options.margin), "must lie in (0, 0.5)");
  std::vector<CurvePoint> curve{{1, 0}};
  const double step = (1 - 2 * options.margin) / static_cast<double>(options.mixtures - 1);
  for (std::int64_t i = 0; i < options.mixtures; ++i) {
    const bool last = i + 1 == options.mixtures;
    const double w = last ? 1 - options.margin : options.margin + step * static_cast<double>(i);
    curve.push_back({std::exp(-options.scaling * divergence_to_mixture(q, p, q, w)),
                     std::exp(-options.scaling * divergence_to_mixture(p, p, q, w))});
  }
  curve.push_back({0, 1});
  return curve;
}

double curve_area(std::span<const CurvePoint> curve) {
  const std::vector<CurvePoint> points(curve.begin(), curve.end());
  return (trapezoids(points, &CurvePoint::x, &CurvePoint::y) +
          trapezoids(points, &CurvePoint::y, &CurvePoint::x)) /
         2;
}

double frontier_integral(std::span<const double> p, std::span<const double> q) {
  check_histograms(p, q);
  double sum = 0;
  for (std::size_t bin = 0; bin < p.size(); ++bin) {
    const double a = p[bin], b = q[bin];
    if (std::abs(a - b) <= 1e-8)
      continue;
    sum += (a + b) / 4;
    if (a > 0 && b > 0)
      sum -= a * b * (std::log(a) - std::log(b)) / (2 * (a - b));
  }
  return 2 * sum;
}

MauveScores mauve_scores(std::span<const std::int64_t> p_counts,
                         std::span<const std::int64_t> q_counts, const CurveOptions& options) {
  if (std::any_of(p_counts.begin(), p_counts.end(), [](std::int64_t c) { return c < 0; }) ||
      std::any_of(q_counts.begin(), q_counts.end(), [](std::int64_t c) { return c < 0; }))
    throw ConfigError("histogram", "a negative count", "counts are at least 0");
  const auto p = probabilities(p_counts, 0), q = probabilities(q_counts, 0);
  const auto smooth_p = probabilities(p_counts, 0.5), smooth_q = probabilities(q_counts, 0.5);
  return {area_of(p, q, options), frontier_integral(p, q), area_of(smooth_p, smooth_q, options),
          frontier_integral(smooth_p, smooth_q)};
}

}  // namespace dlm
