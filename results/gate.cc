#include "results/gate.h"

#include <algorithm>
#include <array>
#include <set>

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

// The counterpart of a baseline's run; empty where there is none.
std::string counterpart(Store& fresh, const RunPlace& place, const std::string& not_this,
                        const std::vector<std::string>* among) {
  const std::array<Cell, 4> parameters = {place.model, place.task, place.config_id, not_this};
  std::string found;
  fresh.scan(
      "SELECT run_id FROM v_run WHERE model=? AND task=? AND config_id=? AND run_id<>? AND "
      "status='done' ORDER BY run_id",
      parameters, [&](const Statement& row) {
        const std::string id = row.text(0);
        if (among == nullptr || std::find(among->begin(), among->end(), id) != among->end())
          found = id;
      });
  return found;
}

CompareOptions options_of(const GateSpec& spec, const GateRuns& runs,
                          const std::optional<double>& floor) {
  CompareOptions options;
  options.metrics = spec.metrics;
  options.margins = spec.margins;
  options.speed_noise_floor = floor.value_or(0);
  options.speed_of_repeated_runs = true;
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

void hold_speed_without_floor(Comparison& comparison) {
  if (comparison.verdict == Verdict::kSame)
    return;
  comparison.verdict = Verdict::kAmbiguous;
  comparison.needed = 0;
  comparison.note =
      "no noise floor of this machine: repeat the suite (`run --fresh`), 4 times on both sides";
}

// How much better something is need not be known for it to pass.
void pass_what_is_not_worse(Comparison& comparison) {
  if (comparison.verdict != Verdict::kAmbiguous || !is_not_worse(comparison))
    return;
  comparison.verdict = Verdict::kSame;
  comparison.needed = 0;
  comparison.note += comparison.note.empty() ? "" : "; ";
  comparison.note += "not worse by more than the margin";
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

// Names come from outside: they stay on their line.
std::string one_line(std::string text) {
  for (char& c : text) c = static_cast<unsigned char>(c) < 0x20 || c == '`' ? ' ' : c;
  return text;
}

std::string headline(Verdict verdict) {
  switch (verdict) {
    case Verdict::kSame:
      return "✅ passed: nothing differs by more than the margins";
    case Verdict::kBetter:
      return "✅ passed: something is better, nothing is worse";
    case Verdict::kWorse:
      return "❌ failed: something is worse";
    case Verdict::kAmbiguous:
      return "❔ undecided: the data do not settle it";
    case Verdict::kEmpty:
      return "⚠️ not everything was measured";
  }
  return "";
}

std::string advice(Verdict verdict) {
  switch (verdict) {
    case Verdict::kWorse:
      return "Where the change is meant, make its runs the new baseline: `dlmbench tag NAME "
             "RUN...`.";
    case Verdict::kAmbiguous:
      return "More documents (the verdict says how many) or more repeats decide it; a wider margin "
             "decides that it does not matter.";
    case Verdict::kEmpty:
      return "Run the suite of the baseline with this build, into the store that the gate reads.";
    default:
      return "";
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
  const std::vector<std::string> candidates =
      runs.new_name.empty() ? std::vector<std::string>{} : runs_of_name(fresh, runs.new_name);
  for (const std::string& base_run : runs_of_name(base, spec.baseline)) {
    const RunPlace place = place_of(base, base_run);
    if ((!spec.model.empty() && place.model != spec.model) ||
        (!spec.task.empty() && place.task != spec.task))
      continue;
    GatePair pair;
    pair.label = fmt::format("{} on {}", place.model, place.task);
    pair.base_run = base_run;
    pair.new_run =
        counterpart(fresh, place, base_run, runs.new_name.empty() ? nullptr : &candidates);
    result.pairs.push_back(std::move(pair));
  }
  for (GatePair& pair : result.pairs) {
    if (pair.new_run.empty()) {
      pair.problem = "this build did not measure it";
      continue;
    }
    if (!result.noise_floor) {
      result.noise_floor =
          spec.noise_floor ? spec.noise_floor : speed_noise_floor(fresh, pair.new_run);
    }
    if (!result.noise_floor)
      result.noise_floor = speed_noise_floor(base, pair.base_run);
    compare_pair(pair, {&base, pair.base_run}, {&fresh, pair.new_run},
                 options_of(spec, runs, result.noise_floor));
  }
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

std::string gate_markdown(const GateResult& result) {
  std::string out = fmt::format("## dlmbench gate: {}\n", headline(result.verdict));
  out += fmt::format("\nAgainst baseline `{}`, {} pair{} of runs. ", one_line(result.baseline),
                     result.pairs.size(), result.pairs.size() == 1 ? "" : "s");
  out += result.noise_floor ? fmt::format("Noise floor of speed on this machine: {:.1f} %.\n",
                                          100 * *result.noise_floor)
                            : "Noise floor of speed on this machine: unknown.\n";
  for (const GatePair& pair : result.pairs) {
    out += fmt::format("\n### {}\n\n", one_line(pair.label));
    if (!pair.problem.empty()) {
      out += fmt::format("Not compared (run `{}`): {}\n", pair.base_run, pair.problem);
      continue;
    }
    Table table = comparison_table(pair.result.comparisons);
    table.title.clear();
    out += render(table, "md");
    out += fmt::format("\nA is run `{}`, B run `{}`.", pair.base_run, pair.new_run);
    for (const auto& [name, values] : pair.result.differing)
      out += fmt::format(" {}: {} → {}.", name, one_line(values.first), one_line(values.second));
    out += "\n";
    for (const std::string& note : pair.result.notes) out += fmt::format("Note: {}\n", note);
  }
  if (const std::string text = advice(result.verdict); !text.empty())
    out += "\n" + text + "\n";
  return out;
}

}  // namespace dlm
