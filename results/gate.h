// "May this change land?": runs of a new build against a baseline, all metrics judged together.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "results/compare.h"

namespace dlm {

// What a gate file says. In TOML:
//
//   baseline = "main"              # a tag, a git commit or a run; --base wins
//   metrics = ["nll", "score"]     # default: all that can be compared
//   model = "tiny"                 # only these runs
//   task = "wikitext2"
//   noise_floor = "2%"             # of speed; default: from the repeated runs of the stores
//   max_rounds = 40                # measured in turn at most, while the speed is undecided
//   [margin]
//   nll = 0.005
//   tokens_per_second = "3%"
struct GateSpec {
  std::string baseline;
  std::vector<std::string> metrics;
  std::string model, task;
  std::optional<double> noise_floor;  // relative
  std::int64_t max_rounds = 40;
  std::map<std::string, Margin> margins;
};

// Throws ConfigError for bad TOML (with line), an unknown key or metric (with the nearest one).
GateSpec parse_gate(std::string_view toml, const std::string& source);

// Which runs a gate judges, where it measured them itself: those begun after it began, by the ids
// that were the latest then, and how often it looks at them in all (rounds_to_look_at).
struct GateRuns {
  std::string new_name;  // empty: the latest
  std::string begun_after_base = {}, begun_after_new = {};
  std::int64_t looks = 1;
};

// Numbers of rounds after which a gate looks whether speed is decided: `first`, or 8 where `most`
// allows them, then half as many again each time, up to `most`. 1 <= first <= most (ConfigError).
std::vector<std::int64_t> rounds_to_look_at(std::int64_t first, std::int64_t most);

// The runs that `name` means: of a tag; else the latest of each model, task and settings whose
// program was built from the git commit that begins so (7 or more hexadecimal digits); else the one
// run whose id begins so. Only finished ones. Empty where it means nothing.
std::vector<std::string> runs_of_name(Store& store, const std::string& name);

struct GatePair {
  std::string label, base_run, new_run;  // new_run is empty where nothing was measured
  CompareResult result;
  std::string problem;  // why there is no result
};

struct GateResult {
  std::string baseline;
  std::vector<GatePair> pairs;
  std::vector<std::string> missing;  // asked for, and in no pair of two runs
  std::optional<double> noise_floor;
  Verdict verdict = Verdict::kEmpty;
  int exit_code = 5;
};

// Compares every run of the baseline (spec.baseline, in `base`) with its counterpart in `fresh`:
// the latest finished run of the same model, task and settings that is none of the baseline's; of
// those that runs.new_name means where it is not empty, else newer than the baseline's where
// `fresh` holds that one too. p values are adjusted over all metrics of all pairs, so that the
// whole gate gives a false alarm in at most 5 % of unchanged builds. What is shown not to be worse
// by more than its margin passes, however much better it may be. A difference of speed between runs
// that were not repeated counts only above the noise floor, and without a floor is ambiguous at
// most. A pair without a result is empty, and so is a metric of spec.metrics that no pair has.
// Without a baseline there are no pairs.
GateResult run_gate(Store& base, Store& fresh, const GateSpec& spec, const GateRuns& runs);

// The verdicts of a gate on all comparisons of all its pairs, as said above.
void judge_gate(std::span<Comparison* const> comparisons, const std::optional<double>& noise_floor);

// Whether more rounds could change what the gate says: nothing is worse and a speed is ambiguous.
bool needs_more_rounds(const GateResult& result);

// One row a comparison, for Store::add_verdicts; `same_store`: the baseline is in the same file.
enum class BaselineStore { kSame, kOther };
std::vector<GateVerdict> gate_verdicts(const GateResult& result, BaselineStore where);

// "gate" (the verdict and its exit code) and "comparison" (a row a metric of a pair, and one of
// verdict empty for each pair or metric that was not measured).
std::vector<Table> gate_tables(const GateResult& result);

// For a pull request: the verdict, a line a metric, what differs, and what to do.
std::string gate_markdown(const GateResult& result);

}  // namespace dlm
