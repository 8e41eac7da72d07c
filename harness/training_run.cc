#include "harness/training_run.h"

#include <chrono>
#include <cmath>
#include <span>
#include <utility>

#include <nlohmann/json.hpp>

#include "harness/base/error.h"
#include "harness/base/file.h"
#include "harness/base/log.h"
#include "harness/data_root.h"
#include "harness/environment.h"
#include "harness/nelbo_variance.h"
#include "harness/progress.h"
#include "harness/training_validation.h"
#include "models/checkpoint/checkpoint.h"

namespace dlm {
namespace {

using Clock = std::chrono::steady_clock;

constexpr const char* kOfTraining = "of the training";

at::ScalarType published_type(const std::string& name) {
  if (name == "f32")
    return at::kFloat;
  return name == "bf16" ? at::kBFloat16 : at::kHalf;
}

std::string validation_digest(const std::vector<std::vector<std::int64_t>>& rows) {
  std::string digests;
  for (const auto& row : rows) digests += sha256_hex(std::as_bytes(std::span(row)));
  return sha256_hex(digests);
}

}  // namespace

std::string training_identity(const TrainRecipe& recipe, const TrainingData& data) {
  Json identity{{"settings", recipe_fields().to_json(recipe, true)},
                {"data", data.rows->sha256()},
                {"numerics", kNumericsEpoch},
                {"validation", validation_digest(data.validation)}};
  if (data.validate)  // on what the settings say
    identity["validation"] = {recipe.data.validation, recipe.data.validation_rows};
  if (!recipe.fine_tune_from.empty())
    identity["fine_tune_from"] =
        Checkpoint::open(resolve_data_path(recipe.fine_tune_from)).weights_sha256();
  return canonical_json(identity);
}

TrainingRun::TrainingRun(TrainRecipe recipe, TrainingData data, std::unique_ptr<Trainable> network,
                         std::string out)
    : recipe_(std::move(recipe)),
      data_(std::move(data)),
      network_(std::move(network)),
      folder_(std::move(out), training_identity(recipe_, data_)),
      trainer_(*network_, *data_.rows, recipe_, folder_.path() + "/training") {
  progress_.interval = {recipe_.noise.low, recipe_.noise.high};
  if (auto stored = folder_.restore(network_->parameters(), trainer_.optimizer())) {
    progress_ = std::move(*stored);
    log_info("{}: goes on after step {} of {}", folder_.path(), progress_.steps, recipe_.steps);
  }
  seconds_before_ = progress_.seconds;
  saved_steps_ = progress_.steps;
  if (recipe_.objective != "ar" && recipe_.objective != "adjust")
    network_->set_noise_interval(progress_.interval);
}

bool TrainingRun::is_due(std::int64_t every) const {
  return progress_.steps == recipe_.steps || (every > 0 && progress_.steps % every == 0);
}

void TrainingRun::note_step(const StepReport& report) {
  progress_.steps = report.step;
  progress_.tokens +=
      static_cast<double>(recipe_.batch_size * recipe_.accumulation * recipe_.model.length);
  StepSums& sums = progress_.sums;
  sums.loss += report.loss;
  ++sums.steps;
  if (std::isfinite(report.nelbo)) {
    sums.nelbo += report.nelbo;
    ++sums.nelbo_steps;
  }
  if (!is_due(recipe_.log_every))
    return;
  const auto add = [&](const MetricDefinition& metric, double value) {
    progress_.note(report.step, metric, value);
  };
  add({"training_loss", "nats/token", "lo", kOfTraining, "mean since the curve's last point"},
      sums.loss / static_cast<double>(sums.steps));
  if (sums.nelbo_steps > 0)
    add({"training_nelbo", "nats/token", "lo", kOfTraining,
         "unbiased bound, mean since the curve's last point"},
        sums.nelbo / static_cast<double>(sums.nelbo_steps));
  add({"gradient_norm", "nats/token", "none", kOfTraining, "of all gradients, before clipping"},
      report.gradient_norm);
  add({"learning_rate", "1", "none", kOfTraining, "of the step"}, report.learning_rate);
  sums = {};
}

void TrainingRun::publish() {
  if (!data_.tokenizer_folder.empty())
    folder_.copy_tokenizer(data_.tokenizer_folder);
  folder_.publish(network_->parameters(), trainer_.optimizer(), network_->config_json(),
                  published_type(recipe_.published_dtype));
}

void TrainingRun::validate() {
  publish();
  if (data_.validate) {
    for (const MeasuredPoint& point : data_.validate(folder_.path()))
      progress_.note(progress_.steps, point.metric, point.value);
    return;
  }
  if (data_.validation.empty())
    return;
  const Validation result = validate_checkpoint(folder_.path(), recipe_, data_.validation);
  const auto add = [&](const MetricDefinition& metric, double value) {
    progress_.note(progress_.steps, metric, value);
  };
  const MetricDefinition metric = validation_metric(recipe_);
  add(metric, result.nats_per_token);
  std::string line = fmt::format("step {}: {} {:.4f} {}", progress_.steps, metric.metric,
                                 result.nats_per_token, metric.unit);
  if (result.search) {
    const IntervalVariance& best = result.search->intervals[result.search->best];
    add(nelbo_variance_definition(), result.search->intervals.front().mean);
    add({"nelbo_variance_best", "(nats/token)^2", "lo", kOfTraining,
         "on the interval that is trained on from here"},
        best.mean);
    add({"noise_low", "noise level", "none", kOfTraining, "of that interval"}, best.interval.low);
    add({"noise_high", "noise level", "none", kOfTraining, "of that interval"}, best.interval.high);
    line += fmt::format("; NELBO variance {:.4g} on (0.001, 1), {:.4g} on [{:.3g}, {:.3g}]",
                        result.search->intervals.front().mean, best.mean, best.interval.low,
                        best.interval.high);
    progress_.interval = best.interval;
    network_->set_noise_interval(best.interval);
  }
  log_info("{}", line);
}

void TrainingRun::save() {
  folder_.save(network_->parameters(), trainer_.optimizer(), progress_);
  saved_steps_ = progress_.steps;
}

StepReport TrainingRun::step() {
  try {
    return trainer_.step();
  } catch (const DivergedError& error) {
    throw DivergedError(saved_steps_ > 0
                            ? fmt::format("{}; the checkpoint of step {} stays in {}", error.what(),
                                          saved_steps_, folder_.path())
                            : fmt::format("{}; there was no checkpoint yet", error.what()));
  }
}

void TrainingRun::run() {
  const double per_step =
      static_cast<double>(recipe_.batch_size * recipe_.accumulation * recipe_.model.length);
  Progress line(recipe_.name, "tokens", progress_.tokens,
                per_step * static_cast<double>(recipe_.steps));
  const auto start = Clock::now();
  const auto note_time = [&] {
    progress_.seconds =
        seconds_before_ + std::chrono::duration<double>(Clock::now() - start).count();
  };
  while (progress_.steps < recipe_.steps) {
    const StepReport report = step();
    note_step(report);
    note_time();
    line.update(progress_.tokens,
                fmt::format("step {} of {}, loss {:.4f}, gradient {:.3g}", report.step,
                            recipe_.steps, report.loss, report.gradient_norm));
    if (is_due(recipe_.validate_every)) {
      validate();
      note_time();
    }
    if (is_due(recipe_.checkpoint_every) || is_due(recipe_.validate_every))
      save();
  }
  if (!file_exists(folder_.path() + "/model.safetensors"))
    publish();
}

}  // namespace dlm
