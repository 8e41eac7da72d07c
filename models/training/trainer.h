// Updates of a network's weights, one after another. Knows neither files nor the command line.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "harness/base/error.h"
#include "models/training/adamw.h"
#include "models/training/recipe.h"
#include "models/training/row_source.h"
#include "models/training/trainable.h"

namespace dlm {

// A loss or gradient that is no longer a number. The step it names changed nothing: the weights are
// still those of the step before.
class DivergedError : public Error {
 public:
  using Error::Error;
};

struct StepReport {
  std::int64_t step = 0;     // updates made, this one included
  double loss = 0;           // nats a token, mean of the passes: what the gradient is of
  double nelbo = 0;          // nats a token: an unbiased bound on -log p
  double gradient_norm = 0;  // before it is clipped
  double learning_rate = 0;
  double tokens = 0;
};

class Trainer {
 public:
  // The network and the rows must outlive it. `folder` is where the moving average lies if the
  // recipe has it on disk; without one it lies in memory. Throws ConfigError where the recipe's
  // optimizer settings are out of range, DataError where the average has no room.
  Trainer(Trainable& network, const RowSource& rows, const TrainRecipe& recipe,
          const std::string& folder = "");

  // One update, from accumulation passes of batch_size rows each: pass p of update n takes rows
  // (n accumulation + p) batch_size and on. Throws DivergedError.
  StepReport step();

  std::int64_t steps() const { return optimizer_.steps(); }

  AdamW& optimizer() { return optimizer_; }

 private:
  TrainBatch next_batch(std::int64_t pass) const;
  BatchLoss pass_loss(std::int64_t pass);

  Trainable& network_;
  const RowSource& rows_;
  const TrainRecipe& recipe_;
  LearningRate rate_;
  AdamW optimizer_;
};

}  // namespace dlm
