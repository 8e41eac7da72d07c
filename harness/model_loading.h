// From a run's settings to a loaded model, kept while the next run needs the same one.
#pragma once

#include <map>
#include <memory>
#include <string>

#include "harness/base/spec.h"
#include "models/factory.h"

namespace dlm {

ModelOptions model_options(const RunSpec& spec);

// Whether LoadedModel::weights_sha256 is wanted: it reads every weight once.
enum class WeightsHash { kTake, kSkip };

// Loads the run's model, or hands back the last one where its settings are the same, so that a
// sweep loads a model once.
class ModelCache {
 public:
  // Throws ConfigError or DataError.
  const LoadedModel& load(const RunSpec& spec, WeightsHash hash = WeightsHash::kTake) {
    return load_as("model", spec, hash);
  }

  // A model beside it, spec.model: one for each role ("judge", "featurizer") is kept. Throws alike,
  // naming the role where spec.model is empty.
  const LoadedModel& load_as(const std::string& role, const RunSpec& spec,
                             WeightsHash hash = WeightsHash::kTake);

  // Of the last call that loaded one.
  double last_load_seconds() const { return load_seconds_; }

 private:
  struct Kept {
    std::string key;
    std::unique_ptr<LoadedModel> model;
  };

  std::map<std::string, Kept> kept_;  // by role
  double load_seconds_ = 0;
};

}  // namespace dlm
