// The task "samples:documents=N&length=L&prompt=TEXT", or prompt_ids=IDS: N texts of L tokens each,
// or of fewer where a stop token ends them; what they are worth is measured by text_quality.h.
#pragma once

#include <memory>
#include <string_view>

#include "harness/model_loading.h"
#include "harness/sample_task.h"

namespace dlm {

bool is_free_text_task(std::string_view task);

struct FreeTextRun {
  RunSpec spec;  // with the block size that "as the model was trained" is
  std::unique_ptr<SampleTask> task;
};

// `documents` defaults to 64, `length` to an exact world's own or 128; `prompt` is the beginning of
// every text, with %2C for a comma, %26 for "&", %25 for "%"; `prompt_ids` the same as token ids
// with a space between them, for models without a tokenizer too. A model that never saw
// a hidden first token needs one. Throws ConfigError for a bad key or value, a text longer than the
// model takes, and as TextQuality.
FreeTextRun make_free_text_run(const RunSpec& spec, const LoadedModel& model, ModelCache& models);

}  // namespace dlm
