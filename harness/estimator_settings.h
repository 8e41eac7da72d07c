// Which likelihood a run computes: from its settings and its model to an estimator.
#pragma once

#include <span>
#include <string>

#include "harness/base/spec.h"
#include "models/diffusion/estimator.h"
#include "models/factory.h"
#include "tasks/windows.h"

namespace dlm {

// Whether the run goes through an estimator of a diffusion likelihood. An exact world is scored
// token after token unless an estimator is named. Throws ConfigError for an estimator that the
// model does not have.
bool scores_by_diffusion(const RunSpec& spec, const LoadedModel& model);

// The run's estimator, "auto" as its model decides; "exact" where it goes through none. Throws as
// scores_by_diffusion.
std::string estimator_name(const RunSpec& spec, const LoadedModel& model);

// Whether the first token of a sequence is scored: as asked or as the preset has it, else where the
// model defines it.
bool scores_first_token(const RunSpec& spec, const LoadedModel& model);

// Whether every draw of a block is the same: one token a block, masked with certainty.
bool draws_are_alike(const EstimatorOptions& options);

// Of a run that scores_by_diffusion. draws = 0 becomes one for each replicate asked for, or 2, the
// least that tells the Monte-Carlo error (1 where there is nothing to draw, or draws_are_alike).
// Throws ConfigError.
EstimatorOptions estimator_options(const RunSpec& spec, const LoadedModel& model);

// What stands beside the numbers: "stratified, L' = 4, 2 draws".
std::string estimator_text(const EstimatorOptions& options);

// SHA-256 over the masks' law and the ids of all units: two runs with one key score the same
// tokens under the same masks, so their rows differ by the models alone.
std::string run_pairing_key(const EstimatorOptions& options, std::span<const ScoringUnit> units);

// What a pilot's number of draws hangs on, beside the estimator and the units.
struct PilotQuestion {
  double target = 0;
  const LoadedModel& model;
};

// The same where a pilot is going to choose the number of draws: no other model or target has this
// key, since their number may be another, and so are all their masks.
std::string pilot_pairing_key(const EstimatorOptions& options, std::span<const ScoringUnit> units,
                              const PilotQuestion& question);

}  // namespace dlm
