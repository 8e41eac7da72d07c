#include "harness/commands/measured_sequences.h"

#include <memory>
#include <utility>

#include "harness/base/error.h"
#include "harness/runner.h"

namespace dlm {

Measurement prepare_measurement(RunSpec spec, ModelCache& models) {
  const LoadedModel& model = models.load(spec);
  if (model.denoiser == nullptr)
    throw ConfigError("model", spec.model, "a diffusion model or an exact world");
  if (model.model != nullptr && spec.estimator.name == "auto")
    spec.estimator.name = "stratified";
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

}  // namespace dlm
