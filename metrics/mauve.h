// MAUVE of two sets of feature vectors: quantised together by k-means on their principal
// components, then compared as histograms (metrics/mauve_curve.h).
//
// Source: Pillutla et al., NeurIPS 2021, and the settings its authors publish (k = n / 10, 90 % of
// the variance, c = 5). Written from the papers and their documented settings.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include <ATen/core/Tensor.h>

#include "metrics/mauve_curve.h"

namespace dlm {

struct MauveOptions {
  std::int64_t buckets = 0;         // k; 0 = max(2, min(n_p, n_q) / 10), halves to even
  double explained_variance = 0.9;  // share that the principal components keep
  std::int64_t restarts = 5;
  std::int64_t max_iterations = 500;
  std::int64_t seeds = 5;  // independent quantisations, seeded seed, seed + 1, ...
  std::uint64_t seed = 25;
  CurveOptions curve = {};
};

// One quantisation.
struct MauveRun {
  std::vector<std::int64_t> p_counts, q_counts;  // (k)
  MauveScores scores;
  double objective = 0;  // of k-means: sum of squared distances
  std::int64_t iterations = 0;
};

// The score moves with the seed of the quantisation, so it is a mean over several; the standard
// deviation between seeds stands beside it (0 for one seed: unknown).
struct MauveResult {
  std::vector<MauveRun> runs;  // one per seed
  MauveScores mean, deviation;
  std::int64_t buckets = 0, components = 0;
  std::int64_t n_p = 0, n_q = 0;
};

// p (n_p, D) of the reference, q (n_q, D) of what is compared with it: floating type, on the CPU.
// Rows are scaled to length 1 first; a row of zeros stays one. Throws ConfigError for options out
// of range, sets of different D, an empty one, or fewer rows than clusters; DataError naming
// `p_name` or `q_name` and the row for a value that is NaN or infinite.
struct MauveInputs {
  at::Tensor p, q;
  std::string_view p_name = "reference features", q_name = "features";
};

MauveResult mauve(const MauveInputs& inputs, const MauveOptions& options);

// What the same measurement gives for two sets of one law: the reference p split at random (by
// seed) into min(n_q, n_p / 2) rows taken as q and the rest. Other sizes give other values, so
// n_p and n_q of the result should be read. Throws as mauve.
MauveResult mauve_ceiling(const MauveInputs& inputs, const MauveOptions& options);

// Standard errors of the scores over the texts: of `draws` bootstrap draws of both histograms with
// the clusters held, from (seed, kBootstrap). Throws ConfigError for draws < 2.
MauveScores mauve_standard_error(const MauveRun& run, const MauveOptions& options,
                                 std::int64_t draws);

}  // namespace dlm
