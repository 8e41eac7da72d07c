// Texts under a judge: what `score genppl` and a generating run share. What a judge said of a text
// is kept in the store by content, so a text is judged once.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "harness/base/json.h"
#include "metrics/generative_perplexity.h"
#include "models/factory.h"
#include "results/store.h"

namespace dlm {

struct JudgeChoice {
  std::string convention = "clean";
  std::int64_t window = 0;  // 0 = the judge's longest, at most 1024
  std::int64_t stride = 0;  // 0 = half a window
};

// Throws ConfigError for a window above the judge's longest, and for a judge that is not
// autoregressive.
JudgeOptions judge_options(const JudgeChoice& choice, const LoadedModel& judge);

// A text's ids as the judge is given them: BOS in front where the convention conditions on it, and
// the ids do not begin with it.
std::vector<std::int64_t> judged_ids(std::vector<std::int64_t> ids, const LoadedModel& judge,
                                     const JudgeOptions& options);

// The ids of a text that a run wrote, without what it began with, as the judge is given them: the
// judge's BOS, where it has one, in front. It is conditioned on by "clean"; for "bd3lms" and "mdlm"
// it is the unscored token at position 0 with which the originals' texts begin. Source: bd3lms
// metrics.py, mdlm diffusion.py, which decode their samples with special tokens.
std::vector<std::int64_t> judged_ids_of_run(std::vector<std::int64_t> ids, const LoadedModel& judge,
                                            const JudgeOptions& options);

// Whether a judge can be given a run's ids as they are: each must be one of its own. Throws
// ConfigError for one beyond its vocabulary, InternalError for the mask (-1 = there is none), which
// no sampler leaves in finished text; both name the document and the position.
void check_judged_ids(std::span<const std::int64_t> ids, const std::string& document,
                      const LoadedModel& judge, std::int64_t mask_id);

// The ids without BOS and end-of-text tokens.
std::vector<std::int64_t> without_special(const std::vector<std::int64_t>& ids,
                                          const LoadedModel& judge);

// What decides the number that a judge gives a text, beside its ids.
Json judge_identity(const LoadedModel& judge, const JudgeOptions& options);

enum class KnownVerdicts { kUse, kIgnore };

struct JudgeWork {
  const LoadedModel& judge;
  JudgeOptions options;
  std::int64_t batch_size = 8;
  KnownVerdicts known = KnownVerdicts::kUse;
};

// Judges all texts but those whose verdict the store keeps, a stretch at a time, and keeps the
// verdicts there.
std::vector<JudgedText> judge_all(const JudgeWork& work,
                                  const std::vector<std::vector<std::int64_t>>& texts,
                                  Store& store);

}  // namespace dlm
