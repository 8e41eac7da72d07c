// How fast a model writes text: one combination of settings, repeated until the median is known.
#pragma once

#include <cstdint>
#include <vector>

#include "harness/base/record.h"
#include "harness/base/spec.h"
#include "harness/base/stats.h"
#include "models/factory.h"

namespace dlm {

struct SpeedQuestion {
  std::int64_t context = 0;     // tokens of the prompt, drawn at random; of each row
  std::int64_t new_tokens = 0;  // of each row
  double spread = 0.02;         // enough: the median's 95 % interval is within this of it
  std::int64_t most_repeats = 20;
};

// One repeat, from the beginning of its second pass to its last token: the first pass also encodes
// the context.
struct SpeedRepeat {
  double seconds = 0;
  std::int64_t accepted = 0;  // tokens that stay in a text, all rows
  std::int64_t canvas = 0;    // tokens drawn
  PassCounts counts;
};

struct SamplingSpeed {
  std::vector<SpeedRepeat> repeats;
  std::vector<double> step_seconds;  // of every pass of every repeat, the draws after it included
  double matrix_bytes = 0;           // that a pass reads of the weights at least
  double key_value_bytes = 0;        // of a cached position

  // A rate of every repeat: what(repeat) / seconds.
  template <class What>
  std::vector<double> rates(const What& what) const {
    std::vector<double> out;
    for (const SpeedRepeat& repeat : repeats)
      out.push_back(static_cast<double>(what(repeat)) / repeat.seconds);
    return out;
  }

  // Bytes that the passes of a repeat must read: matrices, and cached keys and values.
  double bytes(const SpeedRepeat& repeat) const {
    return matrix_bytes * static_cast<double>(repeat.counts.passes) +
           key_value_bytes * static_cast<double>(repeat.counts.cached_positions);
  }
};

// The median with the distribution-free interval of its order statistics: the narrowest that covers
// it with 95 %; the whole range where there are fewer than 6 values.
struct MedianInterval {
  double median = 0;
  Interval interval;

  double half_width() const { return (interval.high - interval.low) / 2 / median; }
};

MedianInterval median_interval(std::vector<double> values);

// A warm-up, then at least 6 repeats. Every row gets spec.batch_size prompts of its own. Throws
// ConfigError for settings that the model does not take, text that does not fit into it, and text
// of a single pass.
SamplingSpeed measure_sampling(const RunSpec& spec, const LoadedModel& loaded,
                               const SpeedQuestion& question);

}  // namespace dlm
