// How many network passes two estimators need for the same Monte-Carlo standard error.
#pragma once

#include <cstdint>
#include <optional>
#include <span>

#include "models/diffusion/estimator.h"

namespace dlm {

struct CostQuestion {
  std::span<const std::vector<std::int64_t>> sequences;
  std::span<const std::uint64_t> examples;  // their numbers
  EstimatorOptions baseline;
  EstimatorOptions candidate;
  std::int64_t repeats = 32;  // estimates of each, under seeds of their own
};

// One estimator's side: variance times passes is what precision costs.
struct EstimatorCost {
  double variance = 0;  // of one estimate of the sum of all sequences' nats, over its repeats
  double passes = 0;    // masks of a whole sequence in one estimate
  PassCounts counts;    // all that was spent here to find out
};

struct CostComparison {
  EstimatorCost baseline;
  EstimatorCost candidate;
  double passes_ratio = 0;          // baseline's passes for each one of candidate's
  std::optional<double> std_error;  // of the ratio, over sequences; absent for fewer than two
};

// Throws ConfigError for fewer than two repeats, an estimator that draws no masks, or where the
// candidate's variance comes out as 0.
CostComparison compare_cost(const Denoiser& denoiser, const CostQuestion& question);

}  // namespace dlm
