// AdamW with the moving average of the weights, in one pass over memory: weight, gradient, both
// moments and the average are read once and written once a step, and the gradient is left at zero.
// Rows that never had a gradient are neither written to nor, so, in memory; of a sparse gradient
// the rows that have none are not either.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include <ATen/core/Tensor.h>

#include "models/training/trainable.h"

namespace dlm {

class DiskValues;
struct StepConstants;

struct AdamWSettings {
  double beta1 = 0.9;
  double beta2 = 0.999;
  double epsilon = 1e-8;
  double weight_decay = 0;  // decoupled, of every parameter: value -= learning rate x this x value
  // Of the moving average; update n = 1, 2, .. uses min(ema_decay, (1 + n) / (10 + n)). 0 = none.
  double ema_decay = 0.9999;
  // Where the average's tensors of 1 MiB and more lie, in files without a name of which a step
  // holds a buffer in memory (paged_memory.h): a fifth less of it. Empty: in memory. The same bits.
  std::string average_folder = {};
};

struct AdamWStep {
  double learning_rate = 0;
  double gradient_scale = 1;  // gradients are taken times this: below 1 where they are clipped
};

// Of one parameter, f32 and of its shape.
struct AdamWMoments {
  at::Tensor first;
  at::Tensor second;
  at::Tensor average;  // undefined without ema_decay
};

// Source: Loshchilov and Hutter 2019, algorithm 2, as torch.optim.AdamW computes it (bias
// correction of both moments, epsilon outside the root). The average: bd3lms models/ema.py, updated
// after every step and begun at the first weights.
class AdamW {
 public:
  // Keeps pointers to the values and gradients, which must stay where they are. Throws ConfigError
  // for a setting out of range, InternalError for tensors that are not contiguous f32 on the CPU.
  AdamW(std::span<const Parameter> parameters, const AdamWSettings& settings);
  ~AdamW();

  // The result depends neither on the number of threads nor on how parameters are split. Throws
  // DataError where an average on disk cannot be read or written.
  void step(const AdamWStep& step);

  // Root of the sum of squares of all gradients, in f64; NaN or infinite where one of them is. The
  // same at any number of threads.
  double gradient_norm() const;

  // The number of steps taken, and what a resumed run puts back.
  std::int64_t steps() const { return steps_; }

  void set_steps(std::int64_t steps) { steps_ = steps; }

  std::span<AdamWMoments> moments() { return moments_; }

  // What is published of parameter i: the average where there is one, else the value.
  const at::Tensor& published(std::size_t i) const;

 private:
  struct Piece {
    float* value;
    float* gradient;
    float* first;
    float* second;
    float* average;  // null without one, and where it lies on disk
    std::int64_t size;
    const DiskValues* disk;   // of the average; null: in memory
    std::int64_t disk_begin;  // of this piece there
    bool sparse;              // see Parameter::has_sparse_gradient
  };

  // Begun at the weights. The disk that it lies on, null for memory.
  const DiskValues* begin_average(const at::Tensor& value, at::Tensor& average);
  void check_disk(int error) const;

  static void update_chunk(const Piece& piece, std::int64_t at, std::int64_t size,
                           const StepConstants& constants);

  // Buffer: of a piece, where the average lies on disk. 0, or the number of the system's error.
  static int step_piece(const Piece& piece, const StepConstants& constants,
                        std::vector<float>& buffer);

  AdamWSettings settings_;
  std::vector<at::Tensor> values_, gradients_;
  std::vector<AdamWMoments> moments_;
  std::vector<std::unique_ptr<DiskValues>> on_disk_;  // averages
  std::vector<Piece> pieces_;
  std::int64_t steps_ = 0;
};

struct LearningRate {
  double peak = 3e-4;
  std::int64_t warmup_steps = 0;
  enum class After { kConstant, kCosine } after = After::kConstant;
  std::int64_t steps = 0;  // kCosine: where it ends
  double floor = 0;        // kCosine: what it ends at, as a share of the peak
};

// Of update `step`, numbered from 0: peak x step / warmup_steps while it warms up, so that the very
// first update changes no weight. Source: transformers get_constant_schedule_with_warmup, which
// bd3lms uses.
double learning_rate(const LearningRate& rate, std::int64_t step);

}  // namespace dlm
