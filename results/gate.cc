#include "results/gate.h"

#include <algorithm>
#include <array>

#include <nlohmann/json.hpp>

#include "harness/base/error.h"
#include "harness/base/json.h"
#include "harness/base/toml.h"
#include "results/compare_measures.h"

namespace dlm {
namespace {

void check_keys(const Json& file, const std::string& source) {
  static const std::vector<std::string> kKnown = {"baseline",    "metrics",    "model", "task",
                                                  "noise_floor", "max_rounds", "margin"};
  for (const auto& [key, value] : file.items()) {
    if (std::find(kKnown.begin(), kKnown.end(), key) == kKnown.end())
      throw unknown_name(source + ": key", key, kKnown);
  }
}

std::string string_or_empty(const Json& file, const char* key, const std::string& source) {
  if (!file.contains(key))
    return "";
  if (!file.at(key).is_string())
    throw ConfigError(fmt::format("{}: {}", source, key), file.at(key).dump(), "must be a text");
  return file.at(key).get<std::string>();
}

Margin margin_of(const std::string& field, const Json& value) {
  return parse_margin(field, value.is_string() ? value.get<std::string>() : value.dump());
}

std::int64_t rounds_in(const Json& value, const std::string& source) {
  const std::int64_t rounds = value.is_number_integer() ? value.get<std::int64_t>() : 0;
  if (rounds < 1 || rounds > 1000)
    throw ConfigError(source + ": max_rounds", value.dump(), "a whole number, 1 to 1000");
  return rounds;
}

struct RunPlace {
  std::string model, task, config_id;
};

RunPlace place_of(Store& store, const std::string& run_id) {
  const std::array<Cell, 1> parameters = {run_id};
  RunPlace place;
  store.scan("SELECT model, task, config_id FROM v_run WHERE run_id=?", parameters,
             [&](const Statement& row) {
               place = {row.text(0), row.text(1), row.text(2)};
             });
  return place;
}

// Which runs may be the counterpart of a baseline's run.
struct Candidates {
  std::vector<std::string> named;     // only these
  bool is_named = false;              // else all
  std::vector<std::string> baseline;  // never these: a baseline is not its own successor
  std::string begun_after;            // only later ones, by their ids
};

bool is_in(const std::vector<std::string>& ids, const std::string& id) {
  return std::find(ids.begin(), ids.end(), id) != ids.end();
}

bool has_run(Store& store, const std::string& run_id) {
  const std::array<Cell, 1> parameters = {run_id};
  return !store.query("SELECT 1 FROM run WHERE run_id=?", parameters).rows.empty();
}

// The latest run of that place; empty where there is none.
std::string counterpart(Store& fresh, const RunPlace& place, const Candidates& candidates) {
  const std::array<Cell, 4> parameters = {place.model, place.task, place.config_id,
                                          candidates.begun_after};
  std::string found;
  fresh.scan(
      "SELECT run_id FROM v_run WHERE model=? AND task=? AND config_id=? AND run_id>? AND "
      "status='done' ORDER BY run_id",
      parameters, [&](const Statement& row) {
        const std::string id = row.text(0);
        if ((!candidates.is_named || is_in(candidates.named, id)) &&
            !is_in(candidates.baseline, id))
          found = id;
      });
  return found;
}

CompareOptions options_of(const GateSpec& spec, const GateRuns& runs,
                          const std::optional<double>& floor) {
  CompareOptions options;
  options.metrics = spec.metrics;
  options.margins = spec.margins;
  options.speed_noise_floor = floor;
  options.begun_after_a = runs.begun_after_base;
  options.begun_after_b = runs.begun_after_new;
  options.looks = runs.looks;
  options.stored_estimates = !spec.metrics.empty();
  return options;
}

// Metrics that a gate asks for need not be in every run.
void compare_pair(GatePair& pair, const StoredRun& base, const StoredRun& fresh,
                  CompareOptions options) {
  const std::vector<std::string> wanted = options.metrics;
  options.metrics.clear();
  try {
    pair.result = compare_runs(base, fresh, options);
  } catch (const ConfigError& error) {
    pair.problem = error.what();
    return;
  }
  if (!wanted.empty()) {
    std::erase_if(pair.result.comparisons, [&](const Comparison& comparison) {
      return std::find(wanted.begin(), wanted.end(), comparison.metric) == wanted.end();
    });
  }
  if (pair.result.comparisons.empty())
    pair.problem = "nothing in common that could be compared";
}

bool is_speed_of_unknown_noise(const Comparison& comparison, const std::optional<double>& floor) {
  return comparison.metric == "tokens_per_second" && comparison.pairing != kRepeatedRuns &&
         comparison.pairing != kPairsOfRuns && !floor;
}

// How much better something is need not be known for it to pass.
void pass_what_is_not_worse(Comparison& comparison) {
  if (comparison.verdict != Verdict::kAmbiguous || !is_not_worse(comparison))
    return;
  comparison.verdict = Verdict::kSame;
  comparison.needed = 0;
  add_note(comparison, "not worse by more than the margin");
}

// Given, else of the first machine that has one.
std::optional<double> floor_of(Store& base, Store& fresh, const GateSpec& spec,
                               std::span<const GatePair> pairs) {
  std::optional<double> floor = spec.noise_floor;
  for (const GatePair& pair : pairs) {
    if (!floor && !pair.new_run.empty())
      floor = speed_noise_floor(fresh, pair.new_run);
    if (!floor && !pair.new_run.empty())
      floor = speed_noise_floor(base, pair.base_run);
  }
  return floor;
}

bool has_metric(const GateResult& result, const std::string& metric) {
  return std::any_of(result.pairs.begin(), result.pairs.end(), [&](const GatePair& pair) {
    const auto& all = pair.result.comparisons;
    return std::any_of(all.begin(), all.end(),
                       [&](const Comparison& one) { return one.metric == metric; });
  });
}

// Asked for and in none of the pairs that were measured.
std::vector<std::string> missing_metrics(const GateResult& result, const GateSpec& spec) {
  std::vector<std::string> missing;
  const bool any = std::any_of(result.pairs.begin(), result.pairs.end(),
                               [](const GatePair& pair) { return !pair.new_run.empty(); });
  for (const std::string& metric : spec.metrics) {
    if (any && !has_metric(result, metric))
      missing.push_back(metric);
  }
  return missing;
}

void conclude(GateResult& result) {
  std::vector<Comparison*> all;
  for (GatePair& pair : result.pairs) {
    for (Comparison& comparison : pair.result.comparisons) all.push_back(&comparison);
  }
  judge_gate(all, result.noise_floor);
  std::vector<Verdict> verdicts;
  for (const Comparison* comparison : all) verdicts.push_back(comparison->verdict);
  for (const GatePair& pair : result.pairs) {
    if (!pair.problem.empty())
      verdicts.push_back(Verdict::kEmpty);
  }
  verdicts.insert(verdicts.end(), result.missing.size(), Verdict::kEmpty);
  result.exit_code = verdict_exit_code(verdicts);
  const auto any = [&](Verdict verdict) {
    return std::find(verdicts.begin(), verdicts.end(), verdict) != verdicts.end();
  };
  result.verdict = Verdict::kEmpty;
  for (const Verdict verdict :
       {Verdict::kWorse, Verdict::kAmbiguous, Verdict::kEmpty, Verdict::kBetter, Verdict::kSame}) {
    if (any(verdict)) {
      result.verdict = verdict;
      break;
    }
  }
}

}  // namespace

GateSpec parse_gate(std::string_view toml, const std::string& source) {
  const Json file = parse_toml(toml, source);
  check_keys(file, source);
  GateSpec spec;
  spec.baseline = string_or_empty(file, "baseline", source);
  spec.model = string_or_empty(file, "model", source);
  spec.task = string_or_empty(file, "task", source);
  for (const Json& name : file.value("metrics", Json::array())) {
    if (!name.is_string())
      throw ConfigError(source + ": metrics", name.dump(), "must be names of metrics");
    (void)better_direction(name.get<std::string>());
    spec.metrics.push_back(name.get<std::string>());
  }
  if (file.contains("noise_floor"))
    spec.noise_floor = margin_of(source + ": noise_floor", file.at("noise_floor")).value;
  if (file.contains("max_rounds"))
    spec.max_rounds = rounds_in(file.at("max_rounds"), source);
  const Json margins = file.value("margin", Json::object());
  if (!margins.is_object())
    throw ConfigError(source + ": margin", margins.dump(), "must be a table");
  for (const auto& [metric, value] : margins.items()) {
    (void)better_direction(metric);
    spec.margins[metric] = margin_of(source + ": margin." + metric, value);
  }
  return spec;
}

void judge_gate(std::span<Comparison* const> comparisons,
                const std::optional<double>& noise_floor) {
  judge_comparisons(comparisons);
  for (Comparison* comparison : comparisons) {
    if (is_speed_of_unknown_noise(*comparison, noise_floor)) {
      hold_speed_without_floor(*comparison);
    } else {
      pass_what_is_not_worse(*comparison);
    }
  }
}

bool needs_more_rounds(const GateResult& result) {
  if (result.verdict == Verdict::kWorse)
    return false;
  for (const GatePair& pair : result.pairs) {
    for (const Comparison& one : pair.result.comparisons) {
      if (one.metric == "tokens_per_second" && one.verdict == Verdict::kAmbiguous)
        return true;
    }
  }
  return false;
}

GateResult run_gate(Store& base, Store& fresh, const GateSpec& spec, const GateRuns& runs) {
  GateResult result;
  result.baseline = spec.baseline;
  Candidates candidates;
  candidates.baseline = runs_of_name(base, spec.baseline);
  candidates.is_named = !runs.new_name.empty();
  if (candidates.is_named)
    candidates.named = runs_of_name(fresh, runs.new_name);
  for (const std::string& base_run : candidates.baseline) {
    const RunPlace place = place_of(base, base_run);
    if ((!spec.model.empty() && place.model != spec.model) ||
        (!spec.task.empty() && place.task != spec.task))
      continue;
    candidates.begun_after = runs.begun_after_new;
    // Where both lie in one history, what came before the baseline is not new.
    if (!candidates.is_named && has_run(fresh, base_run))
      candidates.begun_after = std::max(candidates.begun_after, base_run);
    GatePair pair;
    pair.label = fmt::format("{} on {}", place.model, place.task);
    pair.base_run = base_run;
    pair.new_run = counterpart(fresh, place, candidates);
    result.pairs.push_back(std::move(pair));
  }
  result.noise_floor = floor_of(base, fresh, spec, result.pairs);
  for (GatePair& pair : result.pairs) {
    if (pair.new_run.empty()) {
      pair.problem = fmt::format(
          "this build did not measure it: no finished run of this model, task and settings is {}",
          candidates.is_named ? fmt::format("named '{}'", runs.new_name)
                              : "newer than the baseline's");
      continue;
    }
    compare_pair(pair, {&base, pair.base_run}, {&fresh, pair.new_run},
                 options_of(spec, runs, result.noise_floor));
  }
  result.missing = missing_metrics(result, spec);
  conclude(result);
  return result;
}

std::vector<GateVerdict> gate_verdicts(const GateResult& result, BaselineStore where) {
  std::vector<GateVerdict> verdicts;
  for (const GatePair& pair : result.pairs) {
    for (const Comparison& comparison : pair.result.comparisons) {
      GateVerdict verdict;
      verdict.base_run = where == BaselineStore::kSame ? pair.base_run : "";
      verdict.new_run = pair.new_run;
      verdict.metric = comparison.metric;
      verdict.test = comparison.test;
      verdict.verdict = verdict_name(comparison.verdict);
      verdict.margin = comparison.margin;
      verdict.difference = comparison.difference;
      if (comparison.interval) {
        verdict.ci_low = comparison.interval->low;
        verdict.ci_high = comparison.interval->high;
      }
      verdict.p = comparison.p_adjusted;
      verdicts.push_back(std::move(verdict));
    }
  }
  return verdicts;
}

}  // namespace dlm
