#include "results/compare.h"

#include <algorithm>
#include <cmath>
#include <tuple>

#include "harness/base/error.h"
#include "harness/base/text.h"
#include "results/compare_measures.h"
#include "results/paired_stats.h"

namespace dlm {
namespace {

constexpr double kAlpha = 0.05;

std::vector<std::string> metric_names_of(const CompareOptions& options) {
  for (const std::string& name : options.metrics) (void)better_direction(name);
  for (const auto& [name, margin] : options.margins) (void)better_direction(name);
  return options.metrics.empty() ? comparable_metrics() : options.metrics;
}

void check_alike(const CompareResult& result, const CompareOptions& options) {
  if (options.only_common || result.in_common == 0 ||
      (result.only_a == 0 && result.only_b == 0 && result.changed == 0))
    return;
  throw ConfigError(
      "data", fmt::format("{} and {}", result.a.run_id, result.b.run_id),
      fmt::format("are unlike: {} rows in common, {} only in the first, {} only in the second, {} "
                  "with another text; --common compares those in common",
                  result.in_common, result.only_a, result.only_b, result.changed));
}

void note_what_limits(CompareResult& result) {
  for (const RunFacts* run : {&result.a, &result.b}) {
    if (run->status != "done")
      result.notes.push_back(fmt::format("run {} is {}", run->run_id, run->status));
  }
  if (result.a.estimator != result.b.estimator && !result.a.estimator.empty() &&
      !result.b.estimator.empty()) {
    result.notes.push_back(fmt::format("the likelihoods are of two kinds: A {}, B {}",
                                       result.a.estimator, result.b.estimator));
  }
  if (result.only_a + result.only_b + result.changed > 0) {
    result.notes.push_back(
        fmt::format("only the {} rows in common are compared", result.in_common));
  }
}

void judge(Comparison& comparison) {
  if (is_equivalent(comparison)) {
    comparison.verdict = Verdict::kSame;
    comparison.needed = 0;
    if (comparison.p_adjusted.value_or(1) < kAlpha)
      add_note(comparison, "real, but below the margin");
    return;
  }
  if (comparison.p_adjusted.value_or(1) < kAlpha &&
      (!comparison.relative || std::abs(comparison.difference) > comparison.margin)) {
    const bool better = (comparison.better == "hi") == (comparison.difference > 0);
    comparison.verdict = better ? Verdict::kBetter : Verdict::kWorse;
    comparison.needed = 0;
    return;
  }
  comparison.verdict = Verdict::kAmbiguous;
}

}  // namespace

void add_note(Comparison& comparison, std::string_view text) {
  if (comparison.note.find(text) != std::string::npos)
    return;
  comparison.note += comparison.note.empty() ? "" : "; ";
  comparison.note += text;
}

void hold_speed_without_floor(Comparison& comparison) {
  if (comparison.verdict == Verdict::kSame)
    return;
  comparison.verdict = Verdict::kAmbiguous;
  comparison.needed = 0;
  add_note(comparison,
           "no noise floor of this machine: repeat both (`run --fresh`), at least 4 times on both "
           "sides");
}

Margin parse_margin(std::string_view field, std::string_view text) {
  const bool relative = text.ends_with('%');
  const auto number = parse_double(relative ? text.substr(0, text.size() - 1) : text);
  if (!number || !(*number > 0) || !std::isfinite(*number))
    throw ConfigError(field, text, "a number above 0, or a percentage of A's value like 3%");
  return {relative ? *number / 100 : *number, relative};
}

const std::vector<std::string>& comparable_metrics() {
  static const std::vector<std::string> names = [] {
    std::vector<std::string> all;
    for (const Measure& what : measures()) all.emplace_back(what.metric);
    return all;
  }();
  return names;
}

std::string better_direction(std::string_view metric) {
  for (const Measure& what : measures()) {
    if (what.metric == metric)
      return what.better;
  }
  throw unknown_name("metric", metric, comparable_metrics());
}

const char* verdict_name(Verdict verdict) {
  switch (verdict) {
    case Verdict::kSame:
      return "same";
    case Verdict::kBetter:
      return "better";
    case Verdict::kWorse:
      return "worse";
    case Verdict::kAmbiguous:
      return "ambiguous";
    case Verdict::kEmpty:
      return "empty";
  }
  DLM_CHECK(false, "no such verdict");
  return "";
}

int verdict_exit_code(const std::vector<Verdict>& verdicts) {
  const auto any = [&](Verdict verdict) {
    return std::find(verdicts.begin(), verdicts.end(), verdict) != verdicts.end();
  };
  if (any(Verdict::kWorse))
    return 3;
  if (any(Verdict::kAmbiguous))
    return 4;
  return verdicts.empty() || any(Verdict::kEmpty) ? 5 : 0;
}

bool is_equivalent(const Comparison& comparison) {
  return comparison.inner && comparison.inner->low > -comparison.margin &&
         comparison.inner->high < comparison.margin;
}

bool is_not_worse(const Comparison& comparison) {
  if (!comparison.inner)
    return false;
  return comparison.better == "hi" ? comparison.inner->low > -comparison.margin
                                   : comparison.inner->high < comparison.margin;
}

void judge_comparisons(std::span<Comparison* const> comparisons) {
  std::vector<double> p_values;
  for (const Comparison* comparison : comparisons) p_values.push_back(comparison->p.value_or(1));
  const std::vector<double> adjusted = holm_adjusted(p_values);
  for (std::size_t i = 0; i < comparisons.size(); ++i) {
    if (comparisons[i]->p)
      comparisons[i]->p_adjusted = adjusted[i];
    judge(*comparisons[i]);
    if (comparisons[i]->of_unknown_noise)
      hold_speed_without_floor(*comparisons[i]);
  }
}

CompareResult compare_runs(const StoredRun& a, const StoredRun& b, const CompareOptions& options) {
  const std::vector<std::string> names = metric_names_of(options);
  CompareResult result;
  result.a = run_facts(*a.store, a.run_id);
  result.b = run_facts(*b.store, b.run_id);
  result.differing = differing_facts(result.a, result.b);
  const Pairing pairing = pair_rows(*a.store, a.run_id, *b.store, b.run_id);
  result.in_common = std::ssize(pairing.rows);
  result.only_a = pairing.only_a;
  result.only_b = pairing.only_b;
  result.changed = pairing.changed;
  check_alike(result, options);
  note_what_limits(result);
  if (result.in_common == 0)
    return result;
  MeasureInputs inputs{&result, &pairing, &options, &a, &b, {}, {}};
  std::tie(inputs.speed_a, inputs.speed_b) = speed_samples(a, b, options);
  for (const Measure& what : measures()) {
    const bool asked = !options.metrics.empty();
    if (std::find(names.begin(), names.end(), what.metric) == names.end() ||
        (!what.of_rows && !asked && !options.stored_estimates))
      continue;
    std::string why_not;
    auto comparison = measure(what, inputs, why_not);
    if (comparison) {
      result.comparisons.push_back(std::move(*comparison));
    } else if (!options.metrics.empty()) {
      throw ConfigError("metric", what.metric, "can not be compared: " + why_not);
    } else if (!why_not.ends_with("in common")) {
      result.notes.push_back(why_not);
    }
  }
  std::vector<Comparison*> judged;
  for (Comparison& comparison : result.comparisons) judged.push_back(&comparison);
  judge_comparisons(judged);
  return result;
}

}  // namespace dlm
