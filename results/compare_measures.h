// One metric of a comparison, before the verdict. Internal to compare.
#pragma once

#include <optional>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "results/compare.h"
#include "results/paired_stats.h"

namespace dlm {

// One row of the table of comparable metrics.
struct Measure {
  const char* metric;
  const char* unit;
  const char* better;  // "hi" or "lo"
  Margin margin;
  bool of_rows = true;  // else of the runs' stored estimates
};

std::span<const Measure> measures();

// Times to compare: nanoseconds a token, of runs that were repeated, of repeats within a run
// ("total" phases of table timing) or of its documents.
struct SpeedSample {
  std::vector<double> log_ns_per_token;
  double tokens_per_second = 0;  // of all together
  const char* units = "";
};

struct MeasureInputs {
  const CompareResult* facts = nullptr;
  const Pairing* pairing = nullptr;
  const CompareOptions* options = nullptr;
  const StoredRun* run_a = nullptr;
  const StoredRun* run_b = nullptr;
  SpeedSample speed_a, speed_b;
};

// Of both runs in the same units, the coarsest that both have enough of.
std::pair<SpeedSample, SpeedSample> speed_samples(const StoredRun& a, const StoredRun& b,
                                                  const CompareOptions& options);

// Of a measure that is not of rows: the difference of two estimates with errors of their own (of
// generative perplexity that of the logarithms), which is too wide where the texts are alike.
std::optional<Comparison> measure_estimates(const Measure& what, const MeasureInputs& inputs,
                                            const Margin& margin);

// Everything but the verdict. Absent, with the reason in `why_not`, where these runs do not have
// the metric or it means different things in them.
std::optional<Comparison> measure(const Measure& what, const MeasureInputs& inputs,
                                  std::string& why_not);

}  // namespace dlm
