#include "results/plot_data.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <map>
#include <set>

#include "harness/base/error.h"
#include "harness/base/text.h"
#include "results/batch_times.h"
#include "results/metric_value.h"
#include "results/pairs.h"
#include "results/pareto.h"

namespace dlm {
namespace {

constexpr std::int64_t kAreaDraws = 2000;

// With its t interval; nothing where it has no value.
std::optional<MetricValue> value_of(const RunningRatio& ratio) {
  const auto estimate = ratio.estimate();
  if (!estimate)
    return std::nullopt;
  MetricValue rate;
  rate.value = estimate->value;
  rate.error = estimate->std_error.value_or(0);
  rate.interval = t_interval(*estimate);
  rate.better = "hi";
  return rate;
}

// Over what was timed each on its own.
std::optional<MetricValue> speed_of(Store& store, const std::string& run_id) {
  RunningRatio ratio;
  for (const BatchTime& batch : batch_times(store, run_id)) {
    if (batch.ns > 0)
      ratio.add(batch.tokens, batch.ns / 1e9);
  }
  return value_of(ratio);
}

// Over documents.
std::optional<MetricValue> mc_variance_of(Store& store, const std::string& run_id) {
  const std::array<Cell, 1> parameters = {run_id};
  RunningRatio ratio;
  store.scan("SELECT nll_m2/(n_mc-1), n_tok FROM sample WHERE run_id=? AND n_mc>1", parameters,
             [&](const Statement& row) {
               if (row.real(1) > 0)
                 ratio.add(row.real(0), row.real(1));
             });
  return value_of(ratio);
}

std::string metrics_of(Store& store, std::span<const std::string> run_ids) {
  std::set<std::string> names;
  for (const std::string& run_id : run_ids) {
    for (const std::string& name : metric_names_of(store, run_id)) names.insert(name);
  }
  return names.empty() ? "none" : fmt::format("{}", fmt::join(names, ", "));
}

std::string setting(const RunFacts& facts, const std::string& name) {
  const auto found = facts.settings.find(name);
  return found == facts.settings.end() ? "" : found->second;
}

// The setting of that dotted name, or the only one whose last part it is.
std::string setting_like(const RunFacts& facts, const std::string& name) {
  if (const std::string exact = setting(facts, name); !exact.empty())
    return exact;
  for (const auto& [key, value] : facts.settings) {
    if (split(key, '.').back() == name)
      return value;
  }
  if (name == "interval" && facts.settings.contains("estimator.t_max")) {
    double low = parse_double(setting(facts, "estimator.t_min")).value_or(0);
    if (low < 0)  // the estimator's own
      low = setting(facts, "estimator.estimator") == "reference" ? 0.001 : 0;
    return fmt::format("U[{:g},{:g}]", low,
                       parse_double(setting(facts, "estimator.t_max")).value_or(1));
  }
  return "";
}

// L' of a run: 1 where text goes from left to right, whatever was set; else as set, else the
// model's own, "" where it is not known. A setting of 0 says none of this.
std::string block_size_of(Store& store, const RunFacts& facts) {
  // The folder of an autoregressive model may name a block size, and so may its run, all the same.
  const bool writes = !setting(facts, "sampler.name").empty();
  if (!writes && !facts.estimator.empty() && facts.estimator.find("L' = ") == std::string::npos)
    return "1";
  if (const std::string set = setting_like(facts, "block_size"); !set.empty() && set != "0")
    return set;
  std::string trained;
  const std::array<Cell, 1> parameters = {facts.run_id};
  store.scan(
      "SELECT json_extract(m.config_json,'$.block_size') FROM run r JOIN model m USING(model_id) "
      "WHERE r.run_id=?",
      parameters, [&](const Statement& row) { trained = row.text(0); });
  if (!trained.empty())
    return trained;
  const bool has_blocks =
      facts.estimator.find("L' = ") != std::string::npos || !setting(facts, "sampler.name").empty();
  return has_blocks ? "" : "1";
}

// A run's facts, with its real L' in place of the setting.
RunFacts facts_of(Store& store, const std::string& run_id) {
  RunFacts facts = run_facts(store, run_id);
  facts.settings["block_size"] = block_size_of(store, facts);
  return facts;
}

// Runs of several tasks: the model's name says which, so that none share a series.
void name_tasks(std::vector<RunFacts>& runs) {
  std::set<std::string> tasks;
  for (const RunFacts& facts : runs) tasks.insert(facts.task);
  if (tasks.size() < 2)
    return;
  for (RunFacts& facts : runs) facts.model += " on " + facts.task;
}

std::string series_name(const RunFacts& facts) {
  const std::string sampler = setting(facts, "sampler.name");
  return sampler.empty() ? facts.model : facts.model + ", " + sampler;
}

// Settings that make a series of their own, but for those of `others` (last parts of names).
bool makes_series(const std::string& name, const std::set<std::string>& others) {
  const bool counts = name.starts_with("estimator.") || name.starts_with("sampler.") ||
                      name == "block_size" || name == "dtype";
  return counts && !others.contains(split(name, '.').back());
}

// The series of each run: its model and sampler, and the settings in which runs of one model and
// sampler differ. What is drawn to the right or stands beside the point is in `others`.
std::vector<std::string> series_names(std::span<const RunFacts> runs,
                                      const std::set<std::string>& others) {
  std::map<std::string, std::map<std::string, std::set<std::string>>> values;
  for (const RunFacts& facts : runs) {
    for (const auto& [name, value] : facts.settings) values[series_name(facts)][name].insert(value);
  }
  std::vector<std::string> names;
  for (const RunFacts& facts : runs) {
    std::string full = series_name(facts);
    for (const auto& [name, value] : facts.settings) {
      if (values[series_name(facts)][name].size() < 2 || !makes_series(name, others))
        continue;
      const std::string last = split(name, '.').back();
      const char* sign = last == "block_size" ? "L'" : last == "tokens_per_step" ? "K" : nullptr;
      full += value.empty() ? ", no " + last
                            : fmt::format(", {}={}", sign != nullptr ? sign : last, value);
    }
    names.push_back(full);
  }
  return names;
}

std::string point_label(const RunFacts& facts) {
  std::string label;
  if (const std::string block = setting(facts, "block_size"); !block.empty())
    label = "L'=" + block;
  if (const std::string step = setting_like(facts, "tokens_per_step"); !step.empty())
    label += (label.empty() ? "K=" : " K=") + step;
  return label;
}

[[noreturn]] void refuse_empty(Store& store, std::span<const std::string> run_ids,
                               const std::string& what) {
  throw ConfigError("plot", what,
                    fmt::format("none of the {} runs has it; their metrics are {}", run_ids.size(),
                                metrics_of(store, run_ids)));
}

// A front is of one task: the perplexity of one text neither beats nor loses to that of another.
void refuse_several_tasks(const std::vector<RunFacts>& runs) {
  std::set<std::string> tasks;
  for (const RunFacts& facts : runs) tasks.insert(facts.task);
  if (tasks.size() > 1)
    throw ConfigError(
        "plot", "frontier",
        fmt::format("runs of one task (--task): there are {}", fmt::join(tasks, "; ")));
}

// The series that a point of `facts` belongs to, made where it is not there yet.
PlotSeries& series_of(Plot& plot, const std::string& name, SeriesStyle style) {
  for (PlotSeries& series : plot.series) {
    if (series.name == name)
      return series;
  }
  plot.series.push_back({name, {}, style});
  return plot.series.back();
}

std::string first_metric(Store& store, std::span<const std::string> run_ids,
                         std::initializer_list<const char*> candidates) {
  std::set<std::string> there;
  for (const std::string& run_id : run_ids) {
    for (const std::string& name : metric_names_of(store, run_id))
      there.insert(name.substr(0, name.find(':')));
  }
  for (const char* candidate : candidates) {
    if (there.contains(candidate))
      return candidate;
  }
  return *candidates.begin();
}

// "accuracy (flexible)" where every value drawn is of that variant and the name does not say so.
std::string name_of_drawn(const std::string& metric, const std::set<std::string>& variants) {
  const bool says = metric.find(':') != std::string::npos;
  if (says || variants.size() != 1 || variants.begin()->empty())
    return metric;
  return fmt::format("{} ({})", metric, *variants.begin());
}

// The front as corners: constant quality up to each point's speed.
PlotSeries front_series(const std::vector<TradeOff>& points, double sign) {
  PlotSeries front{"Pareto front", {}, SeriesStyle::kSteps};
  double from = HUGE_VAL;
  for (const TradeOff& point : points) from = std::min(from, point.speed);
  for (const std::size_t i : pareto_front(points)) {
    front.points.push_back({from, sign * points[i].quality, {}, {}, ""});
    front.points.push_back({points[i].speed, sign * points[i].quality, {}, {}, ""});
    from = points[i].speed;
  }
  return front;
}

std::vector<std::string> area_notes(const std::vector<TradeOff>& points, double sign,
                                    const std::string& metric) {
  // Where more is better the floor is 0; else the worst value among the points.
  double floor = 0;
  if (sign < 0) {
    for (const TradeOff& point : points) floor = std::min(floor, point.quality);
  }
  const double area = area_under_front(points, floor);
  const Interval interval = area_interval(points, floor, kAreaDraws, 1);
  return {fmt::format("area under the front {:.4g}, 95 % [{:.4g}, {:.4g}]", area, interval.low,
                      interval.high),
          fmt::format("from 0 tokens/s and {} {:.4g}", metric, sign * floor)};
}

// "L'=32 K=1" says no more than "K=1" where every label of the series begins with the same block
// size: the series' name says it once, where the series differ in it.
void shorten_labels(Plot& plot) {
  std::set<std::string> of_all;
  std::map<std::string, std::string> of_series;  // the beginning that all its labels share
  for (const PlotSeries& series : plot.series) {
    std::set<std::string> beginnings;
    for (const PlotPoint& point : series.points)
      beginnings.insert(point.label.substr(0, point.label.find(' ') + 1));
    of_all.insert(beginnings.begin(), beginnings.end());
    if (beginnings.size() == 1 && !beginnings.begin()->empty())
      of_series[series.name] = *beginnings.begin();
  }
  for (PlotSeries& series : plot.series) {
    const auto found = of_series.find(series.name);
    if (found == of_series.end())
      continue;
    const std::string beginning = found->second;
    for (PlotPoint& point : series.points) point.label.erase(0, beginning.size());
    if (of_all.size() > 1)
      series.name += ", " + beginning.substr(0, beginning.size() - 1);
  }
}

Plot frontier(Store& store, std::span<const std::string> run_ids, const std::string& asked) {
  const std::string metric = asked.empty()
                                 ? first_metric(store, run_ids,
                                                {"accuracy", "pass_at_k", "mauve",
                                                 "generative_perplexity", "perplexity", "nll"})
                                 : asked;
  Plot plot{"", "tokens/s", "", {}, {}, {}, {}, {}};
  std::vector<TradeOff> points;
  std::set<std::string> variants;
  bool is_bound = false;
  std::vector<RunFacts> runs;
  std::vector<PlotPoint> drawn;
  double sign = 1;
  for (const std::string& run_id : run_ids) {
    const auto y = metric_value(store, run_id, metric);
    const auto x = speed_of(store, run_id);
    if (!x || !y)
      continue;
    runs.push_back(facts_of(store, run_id));
    sign = y->better == "lo" ? -1 : 1;
    points.push_back({x->value, sign * y->value, x->error, y->error});
    drawn.push_back({x->value, y->value, x->interval, y->interval, point_label(runs.back())});
    variants.insert(y->variant);
    is_bound = is_bound || y->is_bound;
  }
  if (points.empty())
    refuse_empty(store, run_ids, metric);
  refuse_several_tasks(runs);
  plot.y_label = name_of_drawn(metric, variants) + (is_bound ? " (upper bound)" : "");
  plot.title = name_of_drawn(metric, variants) + " against speed";
  const auto names = series_names(runs, {"name", "block_size", "tokens_per_step"});
  for (std::size_t i = 0; i < runs.size(); ++i)
    series_of(plot, names[i], SeriesStyle::kPoints).points.push_back(drawn[i]);
  plot.y_label += sign > 0 ? ", more is better" : ", less is better";
  shorten_labels(plot);
  plot.notes = area_notes(points, sign, metric);
  plot.series.push_back(front_series(points, sign));
  return plot;
}

// A metric against a setting; a number where every value is one, else a name.
Plot against_setting(Store& store, std::span<const std::string> run_ids, Plot plot,
                     const PlotRequest& request) {
  struct Found {
    std::string x;
    MetricValue y;
  };

  std::vector<Found> found;
  std::vector<RunFacts> runs;
  for (const std::string& run_id : run_ids) {
    const auto y = request.kind == "variance" && request.metric.empty()
                       ? mc_variance_of(store, run_id)
                       : metric_value(store, run_id, request.metric);
    RunFacts facts = facts_of(store, run_id);
    const std::string x = setting_like(facts, request.x);
    if (!y || x.empty())
      continue;
    found.push_back({x, *y});
    runs.push_back(std::move(facts));
  }
  if (found.empty())
    refuse_empty(store, run_ids, fmt::format("{} with a setting {}", plot.y_label, request.x));
  name_tasks(runs);
  const bool numbers = std::all_of(found.begin(), found.end(), [&](const Found& one) {
    const auto x = parse_double(one.x);
    return x.has_value() && (plot.x_scale == Scale::kLinear || *x > 0);
  });
  std::set<std::string> names, variants;
  for (const Found& one : found) {
    names.insert(one.x);
    variants.insert(one.y.variant);
  }
  plot.y_label = name_of_drawn(plot.y_label, variants);
  if (std::all_of(found.begin(), found.end(), [](const Found& one) { return one.y.is_bound; }))
    plot.y_label += " (upper bound)";
  if (!numbers) {
    plot.x_scale = Scale::kLinear;
    plot.x_names.assign(names.begin(), names.end());
  }
  const bool is_interval = request.x == "interval";
  const auto full_names =
      series_names(runs, {"name", split(request.x, '.').back(), is_interval ? "t_min" : "",
                          is_interval ? "t_max" : ""});
  for (std::size_t i = 0; i < found.size(); ++i) {
    const Found& one = found[i];
    const auto place = static_cast<double>(std::distance(names.begin(), names.find(one.x)));
    const double x = numbers ? parse_double(one.x).value_or(0) : place;
    series_of(plot, full_names[i] + (one.y.is_bound ? " (bound)" : ""), SeriesStyle::kLine)
        .points.push_back({x, one.y.value, {}, one.y.interval, ""});
  }
  for (PlotSeries& series : plot.series) {
    std::stable_sort(series.points.begin(), series.points.end(),
                     [](const PlotPoint& a, const PlotPoint& b) { return a.x < b.x; });
  }
  return plot;
}

Plot history(Store& store, std::span<const std::string> run_ids, const std::string& asked) {
  const std::string metric =
      asked.empty() ? first_metric(store, run_ids, {"nll", "perplexity", "accuracy"}) : asked;
  const bool speed = metric == "tokens_per_second";
  Plot plot{metric + " over commits", "commit, oldest first", metric, {}, {}, {}, {}, {}};
  std::map<std::string, std::size_t> places;
  std::set<std::string> variants;
  std::vector<RunFacts> runs;
  std::vector<PlotPoint> drawn;
  for (const std::string& run_id : run_ids) {
    const RunFacts facts = facts_of(store, run_id);
    const auto y = speed ? speed_of(store, run_id) : metric_value(store, run_id, metric);
    if (!y)
      continue;
    const std::string commit = setting(facts, "git_commit").substr(0, 8);
    const auto [place, is_new] = places.try_emplace(commit, places.size());
    if (is_new)
      plot.x_names.push_back(commit.empty() ? "unknown" : commit);
    runs.push_back(facts);
    variants.insert(y->variant);
    drawn.push_back({static_cast<double>(place->second), y->value, {}, y->interval, ""});
  }
  if (runs.empty())
    refuse_empty(store, run_ids, metric);
  name_tasks(runs);
  plot.y_label = name_of_drawn(metric, variants);
  const auto names = series_names(runs, {"name"});
  for (std::size_t i = 0; i < runs.size(); ++i)
    series_of(plot, names[i], SeriesStyle::kLine).points.push_back(drawn[i]);
  return plot;
}

}  // namespace

const std::vector<std::string>& plot_kinds() {
  static const std::vector<std::string> kinds = {"frontier", "perplexity", "mauve",
                                                 "variance", "history",    "by"};
  return kinds;
}

Plot make_plot(Store& store, std::span<const std::string> run_ids, const PlotRequest& request) {
  PlotRequest full = request;
  const auto set_default = [](std::string& member, const char* fallback) {
    if (member.empty())
      member = fallback;
  };
  if (full.kind == "frontier")
    return frontier(store, run_ids, full.metric);
  if (full.kind == "history")
    return history(store, run_ids, full.metric);
  Plot plot;
  if (full.kind == "perplexity") {
    set_default(full.metric, "perplexity");
    set_default(full.x, "block_size");
    plot = {"", "block size L'", "", Scale::kLog2, {}, {}, {}, {}};
  } else if (full.kind == "mauve") {
    set_default(full.metric, "mauve");
    set_default(full.x, "tokens_per_step");
    plot = {"", "tokens per step K", "", {}, {}, {}, {}, {}};
  } else if (full.kind == "variance") {
    set_default(full.x, "interval");
    plot = {"Monte-Carlo variance of one NELBO draw",
            full.x,
            "nats² a token",
            {},
            Scale::kLog10,
            {},
            {},
            {}};
  } else if (full.kind == "by") {
    if (full.x.empty() || full.metric.empty())
      throw ConfigError("plot", "by", "needs --x SETTING and --metric METRIC");
    plot = {"", full.x, "", {}, {}, {}, {}, {}};
  } else {
    throw unknown_name("plot", full.kind, plot_kinds());
  }
  if (plot.y_label.empty() || !full.metric.empty())
    plot.y_label = full.metric;
  if (plot.title.empty())
    plot.title = full.metric + " against " + plot.x_label;
  return against_setting(store, run_ids, plot, full);
}

}  // namespace dlm
