#include <algorithm>
#include <cmath>
#include <map>
#include <set>

#include "harness/base/error.h"
#include "results/compare.h"
#include "results/export_formats.h"
#include "results/paired_stats.h"

namespace dlm {
namespace {

constexpr double kAlpha = 0.05;

struct Value {
  double value = 0;
  std::optional<double> error;
  bool bound = false;
};

struct ColumnData {
  std::string metric, variant, better;
  std::map<std::size_t, Value> by_run;  // index of the run
};

std::vector<ColumnData> columns_of(Store& store, std::span<const std::string> run_ids) {
  std::map<std::pair<std::string, std::string>, ColumnData> columns;
  for (std::size_t i = 0; i < run_ids.size(); ++i) {
    const std::vector<Cell> parameters = {run_ids[i]};
    store.scan(
        "SELECT m.metric, m.variant, d.better, m.value, m.se_data, m.se_mc, m.est FROM metric m "
        "JOIN metric_def d USING(metric) WHERE m.run_id=?",
        parameters, [&](const Statement& row) {
          ColumnData& column = columns[{row.text(0), row.text(1)}];
          column.metric = row.text(0);
          column.variant = row.text(1);
          column.better = row.text(2);
          Value value{row.real(3), row.optional_real(4), row.text(6).starts_with("upper bound")};
          if (value.error)
            value.error = std::hypot(*value.error, row.real(5));
          column.by_run[i] = value;
        });
  }
  std::vector<ColumnData> ordered, better;
  for (auto& [key, column] : columns) {
    if (column.better != "none")
      better.push_back(column);
    ordered.push_back(std::move(column));
  }
  return better.empty() ? ordered : better;
}

// The metric of `compare` that a stored one is a function of; empty where there is none.
std::string paired_metric(const std::string& metric) {
  static const std::map<std::string, std::string> kPaired = {{"nll", "nll"},
                                                             {"perplexity", "nll"},
                                                             {"bits_per_byte", "bits_per_byte"},
                                                             {"word_perplexity", "bits_per_byte"},
                                                             {"accuracy", "score"}};
  const auto found = kPaired.find(metric);
  return found == kPaired.end() ? "" : found->second;
}

// p of "these two are alike": paired, or by the standard errors; 1 where neither can be had.
double p_of(Store& store, const ColumnData& column, std::span<const std::string> run_ids,
            std::pair<std::size_t, std::size_t> pair) {
  const std::string paired = paired_metric(column.metric);
  if (!paired.empty() && column.variant.empty()) {
    try {
      CompareOptions options;
      options.metrics = {paired};
      const CompareResult result =
          compare_runs({&store, run_ids[pair.first]}, {&store, run_ids[pair.second]}, options);
      if (result.in_common == 0)
        return 1;  // nothing that both have measured
      if (!result.comparisons.empty())
        return result.comparisons[0].p.value_or(1);
    } catch (const ConfigError&) {
      return 1;  // unlike data or tokens: no claim
    }
  }
  const Value& a = column.by_run.at(pair.first);
  const Value& b = column.by_run.at(pair.second);
  if (!a.error || !b.error)
    return 1;
  const double error = std::hypot(*a.error, *b.error);
  if (error == 0)
    return a.value == b.value ? 1 : 0;
  return 2 * normal_cdf(-std::abs(a.value - b.value) / error);
}

// The run among `group` whose value stands out; none where the best does not differ from all
// others.
std::optional<std::size_t> significant_best(Store& store, const ColumnData& column,
                                            std::span<const std::string> run_ids,
                                            std::span<const std::size_t> group) {
  std::vector<std::size_t> runs;
  for (const std::size_t run : group) {
    if (column.by_run.contains(run))
      runs.push_back(run);
  }
  if (runs.size() < 2 || column.better == "none")
    return std::nullopt;
  const bool high = column.better == "hi";
  const auto best = std::min_element(runs.begin(), runs.end(), [&](std::size_t a, std::size_t b) {
    const double left = column.by_run.at(a).value;
    const double right = column.by_run.at(b).value;
    return high ? left > right : left < right;
  });
  std::vector<double> p_values;
  for (const std::size_t run : runs) {
    if (run != *best)
      p_values.push_back(p_of(store, column, run_ids, {*best, run}));
  }
  for (const double p : holm_adjusted(p_values)) {
    if (p >= kAlpha)
      return std::nullopt;
  }
  return *best;
}

std::string tex_text(const std::string& text) {
  // Through the renderer of tables: one place knows what LaTeX makes of a character.
  const std::string table = render(Table{"", {{"x", ""}}, {{text}}}, "tex");
  const auto begin = table.find("\\midrule\n") + 9;
  return table.substr(begin, table.find(" \\\\\n\\bottomrule") - begin);
}

std::string cell_text(const Value& value, bool bold) {
  std::string number;
  std::string error;
  if (value.error && *value.error > 0) {
    const ValueWithError shown = format_with_error(value.value, *value.error);
    number = shown.value;
    error = fmt::format(" {{\\scriptsize $\\pm$ {}}}", shown.error);
  } else {
    number = fmt::format("{:.6g}", value.value);
  }
  if (bold)
    number = fmt::format("\\textbf{{{}}}", number);
  return (value.bound ? "$\\leq$ " : "") + number + error;
}

// Model, task and the settings that every run has and in which they differ; not what machine or
// program it was.
std::vector<std::string> row_names(std::span<const RunFacts> facts) {
  static const std::set<std::string> kNotSettings = {
      "model",       "family",     "task",  "weights_sha256", "tokenizer_sha256",
      "data_sha256", "git_commit", "torch", "host",           "cpu",
      "gpu",         "threads"};
  std::map<std::string, std::vector<std::string>> values;
  for (const RunFacts& one : facts) {
    for (const auto& [name, value] : one.settings) values[name].push_back(value);
  }
  std::erase_if(values, [&](const auto& entry) {
    const auto& [name, all] = entry;
    const bool differs = std::any_of(all.begin(), all.end(),
                                     [&](const std::string& value) { return value != all[0]; });
    return kNotSettings.contains(name) || all.size() < facts.size() || !differs;
  });
  std::vector<std::string> names;
  for (std::size_t i = 0; i < facts.size(); ++i) {
    std::string name = facts[i].model + ", " + facts[i].task;
    for (const auto& [setting, all] : values) name += fmt::format(", {} {}", setting, all[i]);
    names.push_back(name);
  }
  return names;
}

// Indices of the runs of one task on the same data: only their values can be set against each
// other.
std::vector<std::vector<std::size_t>> groups_of(std::span<const RunFacts> facts) {
  std::map<std::pair<std::string, std::string>, std::vector<std::size_t>> groups;
  for (std::size_t i = 0; i < facts.size(); ++i) {
    const auto data = facts[i].settings.find("data_sha256");
    groups[{facts[i].task, data == facts[i].settings.end() ? "" : data->second}].push_back(i);
  }
  std::vector<std::vector<std::size_t>> out;
  for (auto& [key, runs] : groups) out.push_back(std::move(runs));
  return out;
}

}  // namespace

std::string export_latex(Store& store, std::span<const std::string> run_ids) {
  if (run_ids.empty())
    throw ConfigError("run", "", "the table needs at least one run");
  const std::vector<ColumnData> columns = columns_of(store, run_ids);
  std::vector<std::vector<std::string>> lines(run_ids.size());
  std::string header = "run";
  std::vector<RunFacts> facts;
  for (const std::string& id : run_ids) facts.push_back(run_facts(store, id));
  const auto groups = groups_of(facts);
  const std::vector<std::string> names = row_names(facts);
  for (std::size_t i = 0; i < run_ids.size(); ++i) lines[i].push_back(tex_text(names[i]));
  for (const ColumnData& column : columns) {
    const std::string variant = column.variant.empty() ? "" : " (" + column.variant + ")";
    const char* arrow = column.better == "hi" ? " $\\uparrow$" : " $\\downarrow$";
    header += " & " + tex_text(column.metric + variant) + (column.better == "none" ? "" : arrow);
    std::set<std::size_t> best;
    for (const auto& group : groups) {
      if (const auto run = significant_best(store, column, run_ids, group))
        best.insert(*run);
    }
    for (std::size_t i = 0; i < run_ids.size(); ++i) {
      const auto value = column.by_run.find(i);
      lines[i].push_back(value == column.by_run.end() ? "--"
                                                      : cell_text(value->second, best.contains(i)));
    }
  }
  std::string out =
      "% bold: best of its column and task and different from every other of them, Holm over "
      "these, 5 % level\n\\begin{tabular}{l" +
      std::string(columns.size(), 'r') + "}\n\\toprule\n" + header + " \\\\\n\\midrule\n";
  for (const auto& line : lines) out += fmt::format("{} \\\\\n", fmt::join(line, " & "));
  return out + "\\bottomrule\n\\end{tabular}\n";
}

}  // namespace dlm
