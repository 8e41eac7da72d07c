// The whole network over a batch's plan, forward and backward.
#pragma once

#include <vector>

#include "harness/base/record.h"
#include "models/training/head_loss.h"
#include "models/training/layer.h"

namespace dlm {

struct NetworkRun {
  const TrainShape& shape;
  const RotaryAngles& angles;
  const BatchPlan& plan;
  std::vector<double> sigma;  // one, or one per sequence; read where there is modulation
  HeadLoss loss;
  Dropout dropout;
};

// Terms of the plan's loss rows; `weights` are rounded where the shape says so.
std::vector<double> network_terms(const NetworkRun& run, const NetworkTensors& weights);

// The same, and adds the gradients of scale x the sum of weight x term to `gradients`.
std::vector<double> network_backward(const NetworkRun& run, const NetworkTensors& weights,
                                     double scale, const NetworkTensors& gradients);

// 2 x multiply-adds of the matrix products of a forward pass, from shapes.
PassCounts network_cost(const NetworkRun& run);

}  // namespace dlm
