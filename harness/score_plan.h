// What a likelihood run is going to score: documents, tokenised and cut into windows, and where
// they came from.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "harness/base/spec.h"
#include "models/factory.h"
#include "tasks/windows.h"

namespace dlm {

struct ScorePlan {
  std::string task_name;
  std::string task_kind;  // "text" or "draws"
  std::int64_t task_version = 1;
  std::string data_sha256;
  std::string task_config_json;
  std::int64_t n_docs = 0;
  std::vector<ScoringUnit> units;
  std::int64_t scored_tokens = 0;
  std::int64_t skipped_units = 0;           // documents or chunks without a token to score
  std::int64_t dropped_tokens = 0;          // the end of a packed stream that fills no chunk
  std::optional<double> entropy_per_token;  // the truth in nats, where the task's law is known
};

// Throws ConfigError where a setting does not fit the model (length, BOS) and DataError for the
// data.
ScorePlan make_score_plan(const RunSpec& spec, const LoadedModel& model);

}  // namespace dlm
