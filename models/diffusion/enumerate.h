// Every mask of every block: the NELBO itself, without Monte-Carlo error.
#pragma once

#include <cstdint>
#include <memory>

#include "models/diffusion/estimator.h"

namespace dlm {

// Most maskable tokens a block may hold: 2^n - 1 masks each.
constexpr std::int64_t kMostEnumerated = 12;

// Throws ConfigError naming the cost where a block's n maskable tokens are more than
// kMostEnumerated.
void check_enumerated(std::int64_t n);

// Options as resolved. plan and passes throw as check_enumerated.
std::unique_ptr<Estimator> make_enumerate_estimator(const EstimatorOptions& options,
                                                    DenoiserLoss loss);

}  // namespace dlm
