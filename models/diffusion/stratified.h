// The default estimator: the number k of masked tokens is drawn, not the noise level, with weight
// n / k; the k of one sequence are spread evenly over its blocks and draws.
#pragma once

#include <memory>

#include "models/diffusion/estimator.h"

namespace dlm {

// Unbiased for any number of draws. In a group of m draws, draw j of block b takes the quantile
// (U + j / m + frac(b g) / m) mod 1 of the law of k, g the golden ratio and U one uniform for each
// group and sequence: the m draws of a block are equally spaced, and so are the blocks. The masks
// of a group are consecutive arcs of one random order of the block's tokens, each a uniform
// k-subset, together covering the tokens evenly. On the whole interval with two replicates or more,
// estimate_likelihood adds a control variate (token_control.h). Options as resolved.
std::unique_ptr<Estimator> make_stratified_estimator(const EstimatorOptions& options,
                                                     DenoiserLoss loss);

}  // namespace dlm
