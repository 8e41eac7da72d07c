#include "harness/commands/measured_sequences.h"

#include <memory>
#include <utility>

#include "harness/base/error.h"
#include "harness/estimator_settings.h"
#include "harness/read_settings.h"
#include "harness/runner.h"
#include "models/runtime.h"
#include "models/shape_model.h"

namespace dlm {
namespace {

RunSpec spec_with_threads(const ParsedOptions& options) {
  RunSpec spec = spec_from(options);
  set_threads(spec.threads);
  return spec;
}

}  // namespace

const std::vector<std::string>& estimator_settings() {
  static const std::vector<std::string> kKeys = {"metrics",
                                                 "estimator.estimator",
                                                 "estimator.draws",
                                                 "estimator.replicates",
                                                 "estimator.t_min",
                                                 "estimator.t_max",
                                                 "estimator.strata",
                                                 "estimator.strata_rows",
                                                 "estimator.schedule",
                                                 "estimator.reveal_order",
                                                 "estimator.reveal_per_step",
                                                 "estimator.target_ci"};
  return kKeys;
}

Measurement prepare_measurement(RunSpec spec, ModelCache& models, MeasuredModels which) {
  const LoadedModel& model = models.load(spec);
  const bool is_checkpoint =
      model.denoiser != nullptr && model.model == nullptr && !is_shape(spec.model);
  if (which == MeasuredModels::kCheckpoints && !is_checkpoint)
    throw ConfigError("model", spec.model, "the folder of a diffusion model, as `train` leaves it");
  if (model.denoiser == nullptr)
    throw ConfigError("model", spec.model, "a diffusion model or an exact world");
  if (model.model != nullptr && spec.estimator.name == "auto")
    spec.estimator.name = "stratified";
  if (estimator_name(spec, model) == "exact")
    throw ConfigError("estimator", spec.estimator.name,
                      "an estimator of a diffusion likelihood: stratified, reference, enumerate, "
                      "order");
  check_settings(spec, model, SpecPart::kScore);
  auto workload = std::make_unique<ScoringWorkload>(spec, model);
  const ScoringWorkload* scoring = workload.get();
  return {prepared_with(spec, model, std::move(workload)), scoring};
}

MeasuredSequences measured_sequences(const ScorePlan& plan) {
  MeasuredSequences sequences;
  for (const ScoringUnit& unit : plan.units) {
    for (const ScoringWindow& window : unit.windows) {
      if (!sequences.ids.empty() && window.ids.size() != sequences.ids.front().size())
        throw ConfigError("scoring.packing", window_mode_name(plan.windows.mode),
                          "packed: all sequences must be of one length");
      sequences.examples.push_back(sequences.ids.size());
      sequences.ids.push_back(window.ids);
    }
  }
  return sequences;
}

MeasuringCommand::MeasuringCommand(const ParsedOptions& options, MeasuredModels which)
    : options_(options),
      measurement_(prepare_measurement(spec_with_threads(options), models_, which)) {
  start();
}

int MeasuringCommand::finish(FinishedRun finished, const std::string& name, const Json& settings,
                             const Arguments& args) const {
  finished.wall_ns = std::chrono::duration_cast<std::chrono::nanoseconds>(
                         std::chrono::steady_clock::now() - start_)
                         .count();
  finished.header = measurement_header(measurement_.run, name, settings);
  finished.header.command = command_line(name, args);
  return record_finished_run(options_, finished);
}

}  // namespace dlm
