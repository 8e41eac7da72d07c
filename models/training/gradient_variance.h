// How much a gradient varies from batch to batch.
#pragma once

#include <cstdint>
#include <span>

#include "models/training/trainable.h"

namespace dlm {

struct GradientVariance {
  double variance = 0;     // 1 / (M - 1) sum_m || g_m - mean g ||^2 over M batches
  double mean_square = 0;  // || mean g ||^2
  std::int64_t batches = 0;
};

// Of a network with its objective, over batches that differ in data, noise or both; dropout as in
// training. Gradients are 0 afterwards. Holds one more copy of the parameters. Throws ConfigError
// for fewer than 2 batches. Source: arXiv:2503.09573, eq. 10.
GradientVariance gradient_variance(Trainable& network, std::span<const TrainBatch> batches);

}  // namespace dlm
