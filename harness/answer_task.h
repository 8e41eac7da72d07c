// Tasks with answers as work for a generating run: prompts of tasks/task.h, verdicts as the texts
// come, accuracy by every extractor. Programs are run in the sandbox.
#pragma once

#include <memory>
#include <string_view>

#include "harness/base/spec.h"
#include "harness/sample_task.h"
#include "models/factory.h"

namespace dlm {

// The id of a known task, or "task:FILE.toml" for one of the user's.
bool is_answer_task(std::string_view task);

// A text is over at the first stop string; what stands before it is stored and judged. Throws
// ConfigError for a model without a tokenizer, or without a chat template where one is asked for,
// and for prompts that leave no room for an answer; DataError; SandboxUnavailable.
std::unique_ptr<SampleTask> make_answer_task(const RunSpec& spec, const LoadedModel& model);

}  // namespace dlm
