// How many network passes two estimators need for the same Monte-Carlo standard error.
#pragma once

#include <optional>
#include <span>

#include "models/diffusion/estimator.h"

namespace dlm {

struct CostQuestion {
  std::span<const std::vector<std::int64_t>> sequences;
  std::span<const std::uint64_t> examples;  // their numbers
  EstimatorOptions baseline;
  EstimatorOptions candidate;
};

// One estimator's side: a replicate is the least that it can be asked for, so variance times passes
// is what precision costs.
struct EstimatorCost {
  double variance = 0;  // Monte-Carlo, of the sum of all sequences' nats, one replicate each
  double passes = 0;    // masks of a whole sequence in one replicate
  PassCounts counts;    // all that was spent here to find out
};

struct CostComparison {
  EstimatorCost baseline;
  EstimatorCost candidate;
  double passes_ratio = 0;          // baseline's passes for each one of candidate's
  std::optional<double> std_error;  // of the ratio, over sequences; absent for fewer than two
};

// Throws ConfigError where an estimator has fewer than two replicates, and so no known error, or
// where the candidate's variance comes out as 0.
CostComparison compare_cost(const Denoiser& denoiser, const CostQuestion& question);

}  // namespace dlm
