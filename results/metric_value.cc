#include "results/metric_value.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <string_view>

#include "harness/base/error.h"

namespace dlm {
namespace {

std::vector<MetricValue> all_values(Store& store, const std::string& run_id,
                                    const std::string& metric) {
  const std::array<Cell, 2> parameters = {run_id, metric};
  std::vector<MetricValue> values;
  store.scan(
      "SELECT m.value, m.se_data, m.se_mc, m.ci_lo, m.ci_hi, d.better, m.est, m.variant FROM "
      "metric m JOIN metric_def d USING(metric) WHERE m.run_id=? AND m.metric=? ORDER BY m.variant",
      parameters, [&](const Statement& row) {
        MetricValue& one = values.emplace_back();
        one.value = row.real(0);
        one.has_error = row.optional_real(1).has_value();
        one.error = std::hypot(row.real(1), row.real(2));
        if (const auto low = row.optional_real(3), high = row.optional_real(4); low && high)
          one.interval = Interval{*low, *high};
        one.better = row.text(5);
        one.is_bound = row.text(6).starts_with("upper bound");
        one.variant = row.text(7);
      });
  return values;
}

// The variant of that name; a judge or a form that follows a name ("boxed, exact", "strict maj@8")
// may be left out where one variant alone begins so.
const MetricValue* value_named(const std::vector<MetricValue>& values, std::string_view name) {
  const MetricValue* found = nullptr;
  for (const MetricValue& one : values) {
    if (one.variant == name)
      return &one;
    const bool begins = !name.empty() && one.variant.starts_with(name) &&
                        (one.variant[name.size()] == ',' || one.variant[name.size()] == ' ');
    if (!begins)
      continue;
    if (found != nullptr)
      return nullptr;
    found = &one;
  }
  return found;
}

// The extractor whose verdict is a row's score, of a run or of `score`; empty where there is none.
std::string extractor_of(Store& store, const std::string& run_id) {
  const std::array<Cell, 1> parameters = {run_id};
  std::string extractor;
  store.scan(
      "SELECT coalesce(json_extract(identity_json,'$.verdicts.extractor'),"
      "json_extract(identity_json,'$.settings.extractor')) FROM run WHERE run_id=?",
      parameters, [&](const Statement& row) { extractor = row.text(0); });
  return extractor;
}

}  // namespace

std::optional<MetricValue> metric_value(Store& store, const std::string& run_id,
                                        const std::string& metric) {
  const std::size_t colon = metric.find(':');
  const std::string name = metric.substr(0, colon);
  const std::vector<MetricValue> values = all_values(store, run_id, name);
  if (values.empty())
    return std::nullopt;
  const auto copy = [](const MetricValue* one) {
    return one == nullptr ? std::nullopt : std::optional(*one);
  };
  if (colon != std::string::npos)
    return copy(value_named(values, metric.substr(colon + 1)));
  for (const std::string& known :
       {std::string(), extractor_of(store, run_id), std::string("pooled"), std::string("k=1")}) {
    if (const MetricValue* found = value_named(values, known); found != nullptr)
      return *found;
  }
  if (values.size() == 1)
    return values.front();
  std::vector<std::string> names;
  for (const MetricValue& one : values) names.push_back(fmt::format("{}:{}", name, one.variant));
  throw ConfigError("metric", metric,
                    fmt::format("one of the {} that run {} has: {}", names.size(), run_id,
                                fmt::join(names, "; ")));
}

std::vector<std::string> metric_names_of(Store& store, const std::string& run_id) {
  const std::array<Cell, 1> parameters = {run_id};
  std::vector<std::string> names;
  store.scan("SELECT metric, variant FROM metric WHERE run_id=? ORDER BY metric, variant",
             parameters, [&](const Statement& row) {
               const std::string variant = row.text(1);
               names.push_back(variant.empty() ? row.text(0) : row.text(0) + ":" + variant);
             });
  return names;
}

}  // namespace dlm
