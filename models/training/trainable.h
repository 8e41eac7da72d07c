// A network with its objective, as the training loop sees it: parameters, and gradients of a batch.
#pragma once

#include <cstdint>
#include <span>
#include <string>

#include <ATen/core/Tensor.h>

#include "harness/base/json.h"
#include "harness/base/record.h"
#include "models/diffusion/clipped_schedule.h"

namespace dlm {

struct Parameter {
  std::string name;     // of its tensor in the checkpoint
  at::Tensor value;     // f32, contiguous; changed in place by the optimizer
  at::Tensor gradient;  // f32, same shape; accumulate_gradients adds to it
  // Most rows of a batch's gradient are 0, as of an embedding: a step gives back their memory.
  bool has_sparse_gradient = false;
};

struct TrainBatch {
  at::Tensor ids;  // (B, L) int64, clean
  // Row b draws its noise and dropout as example first_example + b, so a step is a function of the
  // recipe's seed and of its number alone.
  std::uint64_t first_example = 0;
};

struct BatchLoss {
  double sum = 0;     // nats: of the objective's weighted terms over all positions of the batch
  double tokens = 0;  // positions; sum / tokens is the mean loss, in nats a token
  // nats: the sum with weights that make nelbo / tokens an unbiased bound on -log p a scored token
  // (a first token that is given is none); NaN where the draw leaves out what the bound needs: mask
  // counts (a clipped interval with masks drawn again), or noise levels of score entropy.
  double nelbo = 0;
  PassCounts counts;
};

class Trainable {
 public:
  virtual ~Trainable() = default;

  virtual std::span<Parameter> parameters() = 0;

  // Adds scale x d(mean loss)/d(parameter) to every gradient and returns the loss. Throws
  // ConfigError for ids outside the vocabulary or a length that does not fit, InternalError where a
  // loss is not finite.
  virtual BatchLoss accumulate_gradients(const TrainBatch& batch, double scale) = 0;

  // The loss without gradients and without dropout; noise as of the batch's example numbers.
  // Diffusion objectives: a first token that is given is no position here, as published, though it
  // is one of those that accumulate_gradients averages over.
  virtual BatchLoss evaluate(const TrainBatch& batch) = 0;

  // Noise levels t are drawn from it from now on; the weights stay those of the schedule (clipped
  // schedules; Arriola et al. 2025, section 4). Throws ConfigError for an interval outside (0, 1].
  virtual void set_noise_interval(NoiseInterval interval) = 0;

  // config.json of the folder that load_model reads the trained weights from.
  virtual Json config_json() const = 0;
};

}  // namespace dlm
