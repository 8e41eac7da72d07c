// MAUVE from two histograms: the divergence curve, the area under it, and the frontier integral.
// What the histograms count is the business of metrics/mauve.h.
//
// Source: Pillutla et al., "MAUVE: Measuring the Gap Between Neural Text and Human Text", NeurIPS
// 2021; Liu et al., "Divergence Frontiers for Generative Models", NeurIPS 2021 (frontier integral,
// smoothing).
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace dlm {

struct CurvePoint {
  double x = 0;  // exp(-c KL(q || r))
  double y = 0;  // exp(-c KL(p || r))
};

struct CurveOptions {
  double scaling = 5;          // c > 0
  std::int64_t mixtures = 25;  // mixture weights w, evenly from `margin` to 1 - `margin`; >= 2
  double margin = 1e-6;
};

// The points of r = w p + (1 - w) q for every w, with (1, 0) before and (0, 1) after them. p and q
// are probabilities over the same bins. Throws ConfigError for spans of different or no length, a
// negative or non-finite entry, or options out of range.
std::vector<CurvePoint> divergence_curve(std::span<const double> p, std::span<const double> q,
                                         const CurveOptions& options = {});

// The mean of the two trapezoid areas: y over x in the order of x, and x over y in the order of y.
// Points of equal abscissa are taken by the other coordinate, falling, so that the value does not
// depend on the order given (the published program leaves it to an unstable sort).
double curve_area(std::span<const CurvePoint> curve);

// 2 x the integral of the frontier over the mixture weight: in [0, 1], 0 where p = q. Throws as
// divergence_curve.
double frontier_integral(std::span<const double> p, std::span<const double> q);

struct MauveScores {
  double mauve = 0;              // area under the curve, in (0, 1]; 1 where p = q
  double frontier_integral = 0;  // lower is closer
  double mauve_star = 0;         // the two again, on smoothed histograms
  double frontier_integral_star = 0;
};

// Scores of two lists of bin counts; the starred ones add half a count to every bin
// (Krichevsky-Trofimov). Where p = q to the bit the area is 1 by definition. Throws ConfigError as
// divergence_curve, and where one list has no count.
MauveScores mauve_scores(std::span<const std::int64_t> p_counts,
                         std::span<const std::int64_t> q_counts, const CurveOptions& options = {});

}  // namespace dlm
