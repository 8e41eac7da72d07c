// Every mask of every block: the NELBO itself, without Monte-Carlo error.
#pragma once

#include <memory>

#include "models/diffusion/estimator.h"

namespace dlm {

// Most maskable tokens a block may hold: 2^n - 1 masks each.
constexpr std::int64_t kMostEnumerated = 12;

// Options as resolved. plan throws ConfigError naming the cost where a block holds more than
// kMostEnumerated maskable tokens.
std::unique_ptr<Estimator> make_enumerate_estimator(const EstimatorOptions& options,
                                                    DenoiserLoss loss);

}  // namespace dlm
