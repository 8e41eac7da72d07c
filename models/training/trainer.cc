#include "models/training/trainer.h"

#include <cmath>

#include <ATen/ops/empty.h>

namespace dlm {
namespace {

AdamWSettings optimizer_settings(const TrainRecipe& recipe, const std::string& folder) {
  return {recipe.beta1,        recipe.beta2,     recipe.epsilon,
          recipe.weight_decay, recipe.ema_decay, recipe.average_on_disk ? folder : ""};
}

LearningRate rate_settings(const TrainRecipe& recipe) {
  const auto after =
      recipe.schedule == "cosine" ? LearningRate::After::kCosine : LearningRate::After::kConstant;
  return {recipe.learning_rate, recipe.warmup_steps, after, recipe.steps,
          recipe.final_learning_rate};
}

double clip_scale(double norm, double most) {
  // Source: torch.nn.utils.clip_grad_norm_, which adds 1e-6 to the norm.
  return most > 0 ? std::min(1.0, most / (norm + 1e-6)) : 1.0;
}

}  // namespace

Trainer::Trainer(Trainable& network, const RowSource& rows, const TrainRecipe& recipe,
                 const std::string& folder)
    : network_(network),
      rows_(rows),
      recipe_(recipe),
      rate_(rate_settings(recipe)),
      optimizer_(network.parameters(), optimizer_settings(recipe, folder)) {}

TrainBatch Trainer::next_batch(std::int64_t pass) const {
  const std::int64_t L = rows_.length();
  TrainBatch batch;
  batch.ids = at::empty({recipe_.batch_size, L}, at::kLong);
  batch.first_example =
      static_cast<std::uint64_t>((steps() * recipe_.accumulation + pass) * recipe_.batch_size);
  auto* ids = batch.ids.mutable_data_ptr<std::int64_t>();
  for (std::int64_t b = 0; b < recipe_.batch_size; ++b)
    rows_.read(batch.first_example + static_cast<std::uint64_t>(b),
               {ids + b * L, static_cast<std::size_t>(L)});
  return batch;
}

BatchLoss Trainer::pass_loss(std::int64_t pass) {
  try {
    return network_.accumulate_gradients(next_batch(pass),
                                         1.0 / static_cast<double>(recipe_.accumulation));
  } catch (const InternalError& error) {
    throw DivergedError(fmt::format("step {}: {}", steps() + 1, error.what()));
  }
}

StepReport Trainer::step() {
  StepReport report;
  report.step = steps() + 1;
  report.learning_rate = learning_rate(rate_, steps());
  double nelbo = 0, loss = 0;
  for (std::int64_t pass = 0; pass < recipe_.accumulation; ++pass) {
    const BatchLoss one = pass_loss(pass);
    loss += one.sum / one.tokens;
    nelbo += one.nelbo / one.tokens;
    report.tokens += one.tokens;
  }
  report.loss = loss / static_cast<double>(recipe_.accumulation);
  report.nelbo = nelbo / static_cast<double>(recipe_.accumulation);
  report.gradient_norm = optimizer_.gradient_norm();
  if (!std::isfinite(report.loss) || !std::isfinite(report.gradient_norm))
    throw DivergedError(fmt::format(
        "step {}: the training diverged: loss {}, norm of the gradient {}, learning rate {:.3g}",
        report.step, report.loss, report.gradient_norm, report.learning_rate));
  optimizer_.step({report.learning_rate, clip_scale(report.gradient_norm, recipe_.clip_norm)});
  return report;
}

}  // namespace dlm
