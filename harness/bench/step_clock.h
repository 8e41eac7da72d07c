// When each pass of a sampler began, and how many tokens the first one gave: seen from the model,
// so that every sampler is timed alike and no sampler knows of it.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "models/factory.h"

namespace dlm {

// The first pass also encodes the prompt: what is timed begins with the second.
struct StepTimes {
  std::vector<std::chrono::steady_clock::time_point> begins;
  std::int64_t first_tokens = 0;  // drawn from the first pass, all rows
  PassCounts first_counts;        // counted when the second pass began
};

// `loaded` as it is, but for the times noted in `times`, which must outlive the result; the model
// itself stays with the caller. `counts`: all that the sampler has counted so far, in whatever form
// of the model.
LoadedModel timed_model(const LoadedModel& loaded, StepTimes& times,
                        std::function<PassCounts()> counts);

}  // namespace dlm
