// "Is it different?" for two stored runs: paired by document, with an interval, a test and a
// verdict for each metric.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "harness/base/stats.h"
#include "results/pairs.h"
#include "results/table.h"

namespace dlm {

// The smallest difference that matters: in the metric's unit, or relative to A's value.
struct Margin {
  double value = 0;
  bool relative = false;
};

// "0.005" or "3%". Throws ConfigError on `field` for anything else or a margin that is not above 0.
Margin parse_margin(std::string_view field, std::string_view text);

// What `compare` knows how to compare, in the order it shows them: "nll", "bits_per_byte", "score",
// "generative_perplexity", "mauve", "kl_to_joint", "tokens_per_forward", "tokens_per_second".
const std::vector<std::string>& comparable_metrics();

// "hi" or "lo". Throws ConfigError for a metric that is not comparable.
std::string better_direction(std::string_view metric);

struct CompareOptions {
  std::vector<std::string> metrics = {};       // empty: all that both runs have
  std::map<std::string, Margin> margins = {};  // on top of the defaults
  bool only_common = false;                    // compare what is in common where the data differ
  std::int64_t bootstrap_draws = 2000;
  std::uint64_t seed = 1;
  // Relative run-to-run spread of this machine's speed (A/A): a smaller difference is no finding.
  // Absent: speed_noise_floor() of the stores. Where there is none either, what the times within
  // two runs show is ambiguous at most. Runs that were repeated (same key, program and machine), 4
  // times or more on both sides, are compared as wholes: that includes the noise, and needs none.
  std::optional<double> speed_noise_floor = {};
  // Of repeated runs only those whose ids come after these: what one gate measured itself. 8 pairs
  // that were measured next to each other are compared as pairs, so that slow drift cancels.
  std::string begun_after_a = {}, begun_after_b = {};
  // How often the same question is put to these pairs while they become more: each time at 5 % /
  // looks, so that all answers together err in at most 5 %.
  std::int64_t looks = 1;
  // Also the metrics of texts that rows do not hold, by the two runs' own estimates. Their wide
  // intervals would leave a gate undecided, which compares them only where they are named.
  bool stored_estimates = true;
};

enum class Verdict { kSame, kBetter, kWorse, kAmbiguous, kEmpty };

const char* verdict_name(Verdict verdict);

// Exit code of a set of verdicts: 3 where one is worse, else 4 where one is ambiguous, else 5 where
// nothing was compared, else 0.
int verdict_exit_code(const std::vector<Verdict>& verdicts);

struct Comparison {
  std::string metric, unit, better;
  double a = 0, b = 0;
  bool relative = false;  // difference, interval and margin are (b - a) / a instead of b - a
  double difference = 0;
  std::optional<double> std_error;
  std::optional<Interval> interval;  // 95 %
  std::string interval_method, test;
  std::optional<double> p;           // of the test
  std::optional<double> p_adjusted;  // by Holm, over the metrics compared
  // Each end is a one-sided limit at 5 %: inside +-margin, the two are equivalent (two one-sided
  // tests). Absent where the data do not suffice for it.
  std::optional<Interval> inner;
  double margin = 0;
  std::string pairing;  // what the two share, and how strongly they are correlated
  std::int64_t n = 0, n_units = 0;
  std::int64_t needed = 0;  // units that would decide it with probability 0.8; 0 = decided
  Verdict verdict = Verdict::kEmpty;
  std::string note;
  bool of_unknown_noise = false;  // of speed: nobody knows what the machine makes of it
};

struct CompareResult {
  RunFacts a, b;
  std::map<std::string, std::pair<std::string, std::string>> differing;  // settings: A's, B's
  std::int64_t in_common = 0, only_a = 0, only_b = 0, changed = 0;
  std::vector<Comparison> comparisons;
  std::vector<std::string> notes;
};

struct StoredRun {
  Store* store = nullptr;
  std::string run_id;
};

// B against A. A better or worse verdict needs p_adjusted < 0.05 and a difference that is not shown
// to lie inside the margin; `same` needs it shown (5 % level). No comparisons where no row is in
// common. Throws ConfigError where the runs were measured on unlike data (without only_common), for
// an unknown metric, or for one that these runs do not have.
CompareResult compare_runs(const StoredRun& a, const StoredRun& b, const CompareOptions& options);

// Relative run-to-run spread of the speed on the machine of `run_id`, from runs of one key that
// this program measured more than once there: what two runs of the same thing differ by in 95 of
// 100 pairs (t quantile, pooled over the keys). Absent with fewer than 2 degrees of freedom.
std::optional<double> speed_noise_floor(Store& store, const std::string& run_id);

// Two one-sided tests at 5 %: the difference is shown to lie inside the margin.
bool is_equivalent(const Comparison& comparison);

// One of them: B is shown not to be worse than A by more than the margin.
bool is_not_worse(const Comparison& comparison);

// Adjusts the p values of `comparisons` together (Holm) and gives each its verdict anew.
void judge_comparisons(std::span<Comparison* const> comparisons);

// The one table of the comparisons, in compare's columns.
Table comparison_table(std::span<const Comparison> comparisons);

// "comparison", and "settings that differ" where there are any.
std::vector<Table> comparison_tables(const CompareResult& result);

}  // namespace dlm
