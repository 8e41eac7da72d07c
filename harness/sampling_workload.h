// A run that generates text and measures it: prompts in batches through the model's sampler, each
// text a row with its counts and its share of the time.
#pragma once

#include <memory>
#include <string_view>

#include "harness/model_loading.h"
#include "harness/workload.h"

namespace dlm {

// "samples:..." or the name of a task with answers.
bool is_sampling_task(std::string_view task);

// The model and what `models` holds must outlive it. Throws ConfigError, DataError.
std::unique_ptr<Workload> make_sampling_workload(const RunSpec& spec, const LoadedModel& model,
                                                 ModelCache& models);

}  // namespace dlm
