// One metric of a comparison, before the verdict. Internal to compare.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
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
// ("total" phases of table timing, or a benchmark's rows) or of the batches of its documents.
struct SpeedSample {
  std::vector<double> log_ns_per_token;
  std::vector<std::string> runs;  // of repeated runs: their ids, in order of time
  double tokens_per_second = 0;   // of all together
  double cut = 0;  // of repeated runs: the share of times that a disturbance was taken off
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

inline constexpr const char* kRepeatedRuns = "repeated runs";
inline constexpr const char* kPairsOfRuns = "pairs of runs in turn";
inline constexpr const char* kRepeatsOfTheRun = "repeats of the run";
inline constexpr const char* kTimesOfDocuments = "times of documents";
inline constexpr const char* kTimesOfBatches = "times of batches";
inline constexpr std::int64_t kFewestRepeatedRuns = 4;
inline constexpr std::int64_t kFewestPairsOfRuns = 8;  // 2^-8 < 5 % / 10, so 5 looks may decide

// Adds to comparison.note what it does not say yet.
void add_note(Comparison& comparison, std::string_view text);

// A difference of speed that no noise floor can be held against is ambiguous at most.
void hold_speed_without_floor(Comparison& comparison);

// Positions of the runs of two sides that were begun next to each other, by their ids, which sort
// by time; each in one pair at most, and runs between two of their own side in none.
std::vector<std::pair<std::size_t, std::size_t>> neighbours_in_time(std::span<const std::string> a,
                                                                    std::span<const std::string> b);

// Fills difference, interval, inner limits and p from the logarithms of B's time over A's, one a
// pair; out.margin must be set. `looks` as in CompareOptions.
void take_pairs_of_runs(Comparison& out, std::span<const double> log_time_ratios,
                        std::int64_t looks);

// Of runs measured at least 4 times on both sides, else of repeats within both, else of the batches
// of their documents. Of repeated runs a document's time counts up to twice its median over the
// runs of its side: what the machine did to one run alone is left out.
std::pair<SpeedSample, SpeedSample> speed_samples(const StoredRun& a, const StoredRun& b,
                                                  const CompareOptions& options);

// The speed of the two samples; absent where one is empty.
std::optional<Comparison> measure_speed(const Measure& what, const MeasureInputs& inputs,
                                        const Margin& margin);

// Of a measure that is not of rows: the difference of two estimates with errors of their own (of
// generative perplexity that of the logarithms), which is too wide where the texts are alike.
std::optional<Comparison> measure_estimates(const Measure& what, const MeasureInputs& inputs,
                                            const Margin& margin);

// Everything but the verdict. Absent, with the reason in `why_not`, where these runs do not have
// the metric or it means different things in them.
std::optional<Comparison> measure(const Measure& what, const MeasureInputs& inputs,
                                  std::string& why_not);

}  // namespace dlm
