// Metrics of a run's texts that its rows do not hold: two runs compared by their own estimates.
#include <algorithm>
#include <array>
#include <cmath>
#include <string_view>

#include "results/compare_measures.h"

namespace dlm {
namespace {

constexpr double kAlpha = 0.05;

// As stored of one run.
struct StoredEstimate {
  double value = 0;
  double error = 0;  // of data and Monte Carlo together
  std::int64_t n = 0;
};

std::optional<StoredEstimate> stored_estimate(const StoredRun& run, std::string_view metric) {
  const std::string_view variant = metric == "generative_perplexity" ? "pooled" : "";
  const std::array<Cell, 3> parameters = {run.run_id, std::string(metric), std::string(variant)};
  std::optional<StoredEstimate> found;
  run.store->scan(
      "SELECT value, se_data, coalesce(se_mc,0), n FROM metric WHERE run_id=? AND metric=? AND "
      "variant=? AND se_data IS NOT NULL",
      parameters, [&](const Statement& row) {
        found = {row.real(0), std::hypot(row.real(1), row.real(2)), row.integer(3)};
      });
  return found;
}

// The difference on the scale it is tested on, as the ratio to A where that is the logarithm.
double shown(double difference, bool is_log) {
  return is_log ? std::expm1(difference) : difference;
}

}  // namespace

std::optional<Comparison> measure_estimates(const Measure& what, const MeasureInputs& in,
                                            const Margin& margin) {
  const auto a = stored_estimate(*in.run_a, what.metric);
  const auto b = stored_estimate(*in.run_b, what.metric);
  const bool is_log = std::string_view(what.metric) == "generative_perplexity";
  if (!a || !b || (is_log && (a->value <= 0 || b->value <= 0)))
    return std::nullopt;
  Comparison out;
  out.metric = what.metric;
  out.unit = what.unit;
  out.better = what.better;
  out.a = a->value;
  out.b = b->value;
  out.relative = is_log;
  out.n = a->n + b->n;
  out.n_units = std::min(a->n, b->n);
  const double asked =
      margin.relative && !is_log ? margin.value * std::abs(a->value) : margin.value;
  out.margin = is_log && !margin.relative ? margin.value / a->value : asked;
  out.pairing = "each run's own error";
  MeanEstimate difference{is_log ? std::log(b->value / a->value) : b->value - a->value,
                          {},
                          out.n_units,
                          out.n_units - 1};
  out.difference = shown(difference.value, is_log);
  if (a->value == b->value) {  // the same texts, scored alike
    out.interval = out.inner = Interval{};
    out.p = 1;
    out.test = "equal";
    return out;
  }
  difference.std_error = is_log ? std::hypot(a->error / a->value, b->error / b->value)
                                : std::hypot(a->error, b->error);
  const double tested_margin = is_log ? std::log1p(out.margin) : out.margin;
  if (!is_log)
    out.std_error = difference.std_error;
  out.p = t_test_p(difference);
  out.test = is_log ? "t of the log" : "t";
  if (const auto interval = t_interval(difference))
    out.interval = Interval{shown(interval->low, is_log), shown(interval->high, is_log)};
  out.interval_method = "t";
  if (const auto inner = t_interval(difference, 1 - 2 * kAlpha))
    out.inner = Interval{shown(inner->low, is_log), shown(inner->high, is_log)};
  out.needed = needed_units(*difference.std_error * std::sqrt(static_cast<double>(out.n_units)),
                            tested_margin);
  return out;
}

}  // namespace dlm
