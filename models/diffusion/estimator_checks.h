// The checks of estimator options, for the factory.
#pragma once

#include "models/diffusion/estimator.h"

namespace dlm {

// Whether the estimator draws masks at random.
bool is_sampled(const EstimatorOptions& options);

// Throws ConfigError naming the field; options as resolved, the name known.
void check_estimator_options(const EstimatorOptions& options, DenoiserLoss loss);

}  // namespace dlm
