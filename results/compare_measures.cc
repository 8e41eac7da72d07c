#include "results/compare_measures.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <numbers>

#include "harness/base/error.h"

namespace dlm {
namespace {

constexpr std::int64_t kFewestForBootstrap = 50;
constexpr std::int64_t kMostForBootstrap = 20000;
constexpr double kAlpha = 0.05;
constexpr double kEquivalenceLevel = 1 - 2 * kAlpha;

// Numerator and denominator of a ratio metric in one row; nothing where the row has none.
struct Ratio {
  double y = 0, x = 0;
};

using RatioOf = std::optional<Ratio> (*)(const RowNumbers&);

std::optional<Ratio> nll_of(const RowNumbers& row) {
  if (!row.nll || row.tokens <= 0)
    return std::nullopt;
  return Ratio{*row.nll, static_cast<double>(row.tokens)};
}

std::optional<Ratio> bits_of(const RowNumbers& row) {
  if (!row.nll || row.tokens <= 0 || row.bytes <= 0)
    return std::nullopt;
  return Ratio{*row.nll / std::numbers::ln2, static_cast<double>(row.bytes)};
}

std::optional<Ratio> score_of(const RowNumbers& row) {
  if (!row.score)
    return std::nullopt;
  return Ratio{*row.score, 1};
}

std::optional<Ratio> tokens_of(const RowNumbers& row) {
  if (row.kept_tokens <= 0 || row.nfe <= 0)
    return std::nullopt;
  return Ratio{static_cast<double>(row.kept_tokens), static_cast<double>(row.nfe)};
}

RatioOf ratio_of(std::string_view metric) {
  if (metric == "nll")
    return nll_of;
  if (metric == "bits_per_byte")
    return bits_of;
  return metric == "score" ? score_of : tokens_of;
}

// Sums by cluster of the rows in which both runs have the metric.
struct Units {
  std::vector<PairedUnit> units;
  std::int64_t n = 0;
};

Units units_of(const Pairing& pairing, RatioOf ratio) {
  std::vector<PairedUnit> by_cluster(static_cast<std::size_t>(pairing.n_clusters));
  Units result;
  for (const RowPair& row : pairing.rows) {
    const auto a = ratio(row.a);
    const auto b = ratio(row.b);
    if (!a || !b)
      continue;
    ++result.n;
    PairedUnit& unit = by_cluster[static_cast<std::size_t>(row.cluster)];
    unit.y_a += a->y;
    unit.x_a += a->x;
    unit.y_b += b->y;
    unit.x_b += b->x;
  }
  for (const PairedUnit& unit : by_cluster) {
    if (unit.x_a > 0 || unit.x_b > 0)
      result.units.push_back(unit);
  }
  return result;
}

// Right and wrong answers, where every score is 0 or 1 and every row is its own cluster.
std::optional<PairedCounts> counts_of(const Units& units) {
  PairedCounts counts;
  for (const PairedUnit& unit : units.units) {
    const bool binary = (unit.y_a == 0 || unit.y_a == 1) && (unit.y_b == 0 || unit.y_b == 1);
    if (!binary || unit.x_a != 1 || unit.x_b != 1)
      return std::nullopt;
    const bool a = unit.y_a == 1;
    const bool b = unit.y_b == 1;
    (a ? (b ? counts.both : counts.only_a) : (b ? counts.only_b : counts.neither)) += 1;
  }
  return counts;
}

bool has_mc_error(const Pairing& pairing) {
  return std::any_of(pairing.rows.begin(), pairing.rows.end(),
                     [](const RowPair& row) { return row.a.n_mc > 0 || row.b.n_mc > 0; });
}

std::string pairing_text(const MeasureInputs& in, std::string_view metric,
                         const std::optional<double>& correlation) {
  std::string text = "same documents";
  const bool likelihood = metric == "nll" || metric == "bits_per_byte";
  if (likelihood && has_mc_error(*in.pairing)) {
    const RunFacts& a = in.facts->a;
    const bool common = !a.pairing_key.empty() && a.pairing_key == in.facts->b.pairing_key;
    text += common ? " and mask draws" : ", mask draws not shared";
  }
  return correlation ? fmt::format("{}; corr {:.3f}", text, *correlation) : text;
}

double absolute_margin(const Margin& margin, double reference) {
  return margin.relative ? margin.value * std::abs(reference) : margin.value;
}

void take_t(Comparison& out, const Units& units, const PairedDifference& paired) {
  const MeanEstimate& difference = paired.difference;
  out.std_error = difference.std_error;
  out.p = t_test_p(difference);
  out.test = "paired t by cluster";
  out.interval = t_interval(difference);
  out.interval_method = "t";
  out.inner = t_interval(difference, kEquivalenceLevel);
  if (difference.std_error && out.margin > 0) {
    out.needed = needed_units(
        *difference.std_error * std::sqrt(static_cast<double>(units.units.size())), out.margin);
  }
}

void take_bootstrap(Comparison& out, const Units& units, const CompareOptions& options) {
  const auto m = std::ssize(units.units);
  if (m < kFewestForBootstrap || m > kMostForBootstrap)
    return;
  out.interval = paired_bootstrap(units.units, options.bootstrap_draws, options.seed);
  out.interval_method = fmt::format("cluster bootstrap, {} draws", options.bootstrap_draws);
}

void take_mcnemar(Comparison& out, const PairedCounts& counts) {
  out.p = mcnemar_p(counts.only_a, counts.only_b);
  out.test = "McNemar exact";
  out.interval = paired_proportions_interval(counts);
  out.interval_method = "Agresti-Min";
  out.inner = paired_proportions_interval(counts, kEquivalenceLevel);
  out.note = fmt::format("{} right only in A, {} only in B", counts.only_a, counts.only_b);
}

bool never_differ(const Units& units) {
  return std::all_of(units.units.begin(), units.units.end(), [](const PairedUnit& unit) {
    return unit.y_a == unit.y_b && unit.x_a == unit.x_b;
  });
}

// Scores in [0, 1] that are equal in all n units. What was measured again with the same texts is
// the same. Of two different things n equal scores only bound the share of units that differ, and
// with it the difference: exactly, 0 of n.
void take_no_difference(Comparison& out, const MeasureInputs& in) {
  const RunFacts& a = in.facts->a;
  if (a.measured == in.facts->b.measured && in.pairing->same_outputs) {
    out.interval = out.inner = Interval{};
    out.interval_method = "the same texts";
    out.needed = 0;
    return;
  }
  const auto limit = [&](double tail) {
    const double most = 1 - std::pow(tail, 1 / static_cast<double>(out.n_units));
    return Interval{-most, most};
  };
  out.std_error.reset();
  out.interval = limit(kAlpha / 2);
  out.inner = limit(kAlpha);
  out.interval_method = fmt::format("exact, 0 of {} differ", out.n_units);
  out.needed =
      out.margin < 1
          ? static_cast<std::int64_t>(std::floor(std::log(kAlpha) / std::log1p(-out.margin))) + 1
          : 1;
}

std::optional<Comparison> measure_ratio(const Measure& what, const MeasureInputs& in,
                                        const Margin& margin) {
  const Units units = units_of(*in.pairing, ratio_of(what.metric));
  if (units.units.empty())
    return std::nullopt;
  const PairedDifference paired = paired_difference(units.units);
  Comparison out;
  out.metric = what.metric;
  out.unit = what.unit;
  out.better = what.better;
  out.a = paired.a;
  out.b = paired.b;
  out.difference = paired.difference.value;
  out.n = units.n;
  out.n_units = std::ssize(units.units);
  out.margin = absolute_margin(margin, paired.a);
  out.pairing = pairing_text(in, what.metric, paired.correlation);
  take_t(out, units, paired);
  const auto counts = out.metric == "score" ? counts_of(units) : std::nullopt;
  if (counts) {
    take_mcnemar(out, *counts);
  } else {
    take_bootstrap(out, units, *in.options);
  }
  if (out.metric == "score" && never_differ(units))
    take_no_difference(out, in);
  if (out.metric == "nll")
    out.note = fmt::format("perplexity x {:.5f}", std::exp(out.difference));
  return out;
}

// Whether nats a token mean the same in both runs.
bool same_tokens(const MeasureInputs& in) {
  return std::all_of(in.pairing->rows.begin(), in.pairing->rows.end(),
                     [](const RowPair& row) { return row.a.tokens == row.b.tokens; });
}

std::string reason_against(std::string_view metric, const MeasureInputs& in) {
  const RunFacts& a = in.facts->a;
  const RunFacts& b = in.facts->b;
  if (metric == "nll" && (a.tokenizer_sha256 != b.tokenizer_sha256 || !same_tokens(in)))
    return "nll: the runs score different tokens; bits_per_byte compares them";
  if (metric == "tokens_per_second" && a.env_id != b.env_id)
    return "tokens_per_second: the runs are of different machines";
  return "";
}

}  // namespace

std::span<const Measure> measures() {
  static constexpr std::array kMeasures = {
      Measure{"nll", "nats/token", "lo", {0.005, false}},
      Measure{"bits_per_byte", "bits/byte", "lo", {0.005, true}},
      Measure{"score", "", "hi", {0.01, false}},
      Measure{"generative_perplexity", "1", "lo", {0.01, true}, false},
      Measure{"mauve", "", "hi", {0.01, false}, false},
      Measure{"kl_to_joint", "nats", "lo", {0.01, false}, false},
      Measure{"tokens_per_forward", "tokens", "hi", {0.01, true}},
      Measure{"tokens_per_second", "tokens/s", "hi", {0.03, true}},
  };
  return kMeasures;
}

std::optional<Comparison> measure(const Measure& what, const MeasureInputs& inputs,
                                  std::string& why_not) {
  why_not = reason_against(what.metric, inputs);
  if (!why_not.empty())
    return std::nullopt;
  const auto chosen = inputs.options->margins.find(what.metric);
  const Margin margin = chosen == inputs.options->margins.end() ? what.margin : chosen->second;
  const bool speed = std::string_view(what.metric) == "tokens_per_second";
  if (!what.of_rows) {
    auto result = measure_estimates(what, inputs, margin);
    if (!result)
      why_not = fmt::format("{}: the runs do not have it in common", what.metric);
    return result;
  }
  auto result = speed ? measure_speed(what, inputs, margin) : measure_ratio(what, inputs, margin);
  if (!result)
    why_not = fmt::format("{}: the runs do not have it in common", what.metric);
  return result;
}

}  // namespace dlm
