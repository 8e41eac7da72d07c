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
  std::string task_config_json;  // the task's own, with "preparation" and "counts" (score_plan.cc)
  std::int64_t n_docs = 0;
  std::vector<ScoringUnit> units;
  std::int64_t scored_tokens = 0;
  std::int64_t skipped_units = 0;  // documents or chunks without a token to score
  WindowCounts counts;             // what became of the documents
  std::string first_token;         // of every window: "clean" (given) or "scored"
  WindowOptions windows;           // how they were made
  // Positions computed for padding when short rows are brought to the length of their batch.
  std::int64_t padding_positions = 0;
  std::optional<double> entropy_per_token;  // the truth in nats, where the task's law is known
};

// Throws ConfigError where a setting does not fit the model (window_settings.h) or the preset
// (tasks/presets.h) and where nothing is left to score, DataError for the data. What is left out is
// logged.
ScorePlan make_score_plan(const RunSpec& spec, const LoadedModel& model);

// "3370 documents (0 empty), 91234 tokens; 85 units, 0 skipped; dropped: 1234 tokens, 12 documents
// whole".
std::string counts_line(const ScorePlan& plan);

}  // namespace dlm
