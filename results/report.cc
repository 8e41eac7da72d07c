#include "results/report.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <map>
#include <set>

#include <nlohmann/json.hpp>

#include "harness/base/error.h"
#include "harness/base/json.h"
#include "harness/base/text.h"
#include "results/report_parts.h"

namespace dlm {
namespace {

// The settings that tell the runs apart, by run. What has its own column is left out.
struct Differences {
  std::vector<std::string> names;
  std::map<std::string, Settings> by_run;
};

Differences differing_settings(Store& store, std::span<const std::string> run_ids) {
  Differences differences;
  std::set<std::string> names;
  for (const std::string& run_id : run_ids) {
    differences.by_run[run_id] = settings_of(store, run_id);
    for (const auto& [name, value] : differences.by_run[run_id]) names.insert(name);
  }
  names.erase("model");
  names.erase("task");
  names.erase("metrics");  // changes no number
  for (const std::string& name : names) {
    std::set<std::string> values;
    for (auto& [run_id, settings] : differences.by_run) values.insert(settings[name]);
    if (values.size() > 1)
      differences.names.push_back(name);
  }
  return differences;
}

std::optional<double> real_of(const Cell& cell) {
  const auto* real = std::get_if<double>(&cell.value);
  return real == nullptr ? std::nullopt : std::optional(*real);
}

// A standard error with the decimals of its value, or more where they would hide it: 0 means exact.
Cell error_cell(const Cell& cell, const std::optional<int>& decimals) {
  const std::optional<double> error = real_of(cell);
  if (!error.has_value())
    return {};
  const std::optional<int> own = decimals_for_error(*error);
  if (!own.has_value())
    return {*error, 0};
  return {*error, std::max(decimals.value_or(0), *own - 1)};
}

Cell interval_cell(const Cell& low, const Cell& high, const std::optional<int>& decimals) {
  const std::optional<double> from = real_of(low);
  const std::optional<double> to = real_of(high);
  if (!from.has_value() || !to.has_value())
    return {};
  if (decimals.has_value())
    return fmt::format("[{:.{}f}, {:.{}f}]", *from, *decimals, *to, *decimals);
  return fmt::format("[{:.6g}, {:.6g}]", *from, *to);
}

std::string bound_mark(std::string_view estimator) {
  if (estimator.starts_with("upper bound"))
    return "≤";
  return estimator.starts_with("lower bound") ? "≥" : "";
}

std::string arrow(std::string_view better) {
  if (better == "hi")
    return "↑";
  return better == "lo" ? "↓" : "";
}

constexpr const char* kSelectEstimates =
    "SELECT v.model, v.task, v.status, v.smoke, m.metric, m.variant, d.better, d.unit, m.value, "
    "m.se_data, m.se_mc, m.ci_lo, m.ci_hi, m.ci_method, m.n, "
    "iif(m.n_clusters>0,m.n_clusters,m.n), m.est, iif(v.task_kind IN "
    "('generations','answers'), "
    "v.n_docs, NULL) "
    "FROM metric m JOIN metric_def d USING(metric) JOIN v_run v USING(run_id) WHERE m.run_id=? "
    "ORDER BY m.metric, m.variant";

enum EstimateColumn : std::size_t {
  kModel,
  kTask,
  kStatus,
  kSmoke,
  kMetric,
  kVariant,
  kBetter,
  kUnit,
  kValue,
  kSeData,
  kSeMc,
  kCiLow,
  kCiHigh,
  kCiMethod,
  kN,
  kDocuments,
  kEstimator,
  kOfDocs
};

// What makes a number less than a finished measurement.
std::string note_of(const std::vector<Cell>& found) {
  std::string note = text_of(found[kStatus]) == "done" ? "" : text_of(found[kStatus]);
  if (std::get<std::int64_t>(found[kSmoke].value) != 0)
    note += note.empty() ? "smoke" : ", smoke";
  return note;
}

std::optional<int> decimals_of(const std::vector<Cell>& found) {
  return decimals_for_error(
      std::hypot(real_of(found[kSeData]).value_or(0), real_of(found[kSeMc]).value_or(0)));
}

std::vector<Column> estimate_columns(const std::vector<std::string>& settings) {
  constexpr Align kRight = Align::kRight;
  constexpr Align kLeft = Align::kLeft;
  std::vector<Column> columns = {
      {"run_id", "", kLeft, Audience::kPrograms}, {"model", ""}, {"task", ""}};
  for (const std::string& name : settings)
    columns.push_back({short_name(name, settings), "", kRight});
  const std::vector<Column> rest = {
      {"metric", ""},
      {"variant", ""},
      {"arrow", " ", kLeft, Audience::kPeople},
      {"better", "", kLeft, Audience::kPrograms},
      {"unit", "", kLeft, Audience::kPrograms},
      {"value", "", kRight},
      {"se_data", "± data", kRight},
      {"se_mc", "± mc", kRight},
      {"interval", "95% CI", kRight, Audience::kPeople},
      {"ci_low", "", kRight, Audience::kPrograms},
      {"ci_high", "", kRight, Audience::kPrograms},
      {"ci_method", "", kLeft, Audience::kPrograms},
      {"n_docs", "", kRight, Audience::kPrograms},
      {"n", "", kRight, Audience::kPrograms},
      {"documents", "n docs", kRight, Audience::kPeople},
      {"nfe", "NFE", kRight},
      {"tokens_per_second_accepted", "tokens/s", kRight},
      {"estimator", "", kLeft, Audience::kPrograms},
      {"note", ""},
  };
  columns.insert(columns.end(), rest.begin(), rest.end());
  return columns;
}

// "1130 of 1319" where a task has more documents than were measured, "50 (524 rows)" where
// documents were measured in parts.
Cell documents_cell(const std::vector<Cell>& found) {
  const auto* all = std::get_if<std::int64_t>(&found[kOfDocs].value);
  const auto* measured = std::get_if<std::int64_t>(&found[kDocuments].value);
  const auto* rows = std::get_if<std::int64_t>(&found[kN].value);
  if (measured == nullptr)
    return {};
  if (all != nullptr && *all != *measured)
    return fmt::format("{} of {}", *measured, *all);
  if (rows != nullptr && *rows != *measured)
    return fmt::format("{} ({} rows)", *measured, *rows);
  return *measured;
}

// The cells after the settings, in the order of estimate_columns.
std::vector<Cell> estimate_cells(const std::vector<Cell>& found, const Cell& nfe,
                                 const Cell& rate) {
  const std::optional<int> decimals = decimals_of(found);
  const std::string better = text_of(found[kBetter]);
  Cell value = found[kValue];
  value.decimals = decimals;
  value.mark = bound_mark(text_of(found[kEstimator]));
  return {found[kMetric],
          found[kVariant],
          arrow(better),
          better,
          found[kUnit],
          value,
          error_cell(found[kSeData], decimals),
          error_cell(found[kSeMc], decimals),
          interval_cell(found[kCiLow], found[kCiHigh], decimals),
          found[kCiLow],
          found[kCiHigh],
          found[kCiMethod],
          found[kDocuments],
          found[kN],
          documents_cell(found),
          nfe,
          rate_cell(rate),
          found[kEstimator],
          note_of(found)};
}

// One row as a table of names and values, without what is unknown.
Table transposed(const Table& table, const std::string& title) {
  Table facts{title, {{"fact", ""}, {"value", ""}}, {}};
  if (table.rows.empty())
    return facts;
  for (std::size_t i = 0; i < table.columns.size(); ++i) {
    if (!std::holds_alternative<std::monostate>(table.rows[0][i].value))
      facts.rows.push_back({table.columns[i].name, table.rows[0][i]});
  }
  return facts;
}

// How the task's documents were prepared and what was left out.
Table data_table(Store& store, const std::string& run_id) {
  Table table{"data", {{"fact", ""}, {"value", ""}}, {}};
  const Table found = query_run(
      store, "SELECT config_json FROM task JOIN run USING(task_id) WHERE run_id=?", run_id);
  const std::string config = found.rows.empty() ? "" : text_of(found.rows[0][0]);
  if (config.empty())
    return table;
  for (const auto& [name, value] : flat_facts(parse_json(config, store.path())))
    table.rows.push_back({name, value});
  return table;
}

Table export_examples(Store& store, std::span<const std::string> run_ids) {
  constexpr Align kRight = Align::kRight;
  Table table;
  table.columns = {{"run_id", ""},
                   {"doc_id", ""},
                   {"rep", "", kRight},
                   {"doc_sha", ""},
                   {"cluster", ""},
                   {"score", "", kRight},
                   {"nll", "", kRight},
                   {"nll_m2", "", kRight},
                   {"n_mc", "", kRight},
                   {"n_tok", "", kRight},
                   {"n_bytes", "", kRight},
                   {"n_words", "", kRight},
                   {"prompt_tok", "", kRight},
                   {"canvas_tok", "", kRight},
                   {"kept_tok", "", kRight},
                   {"special_tok", "", kRight},
                   {"nfe", "", kRight},
                   {"positions", "", kRight},
                   {"head_rows", "", kRight},
                   {"cached_positions", "", kRight},
                   {"flops", "", kRight},
                   {"wall_ns", "", kRight},
                   {"exec_status", ""},
                   {"margin", "", kRight},
                   {"output", ""}};
  for (const std::string& run_id : run_ids) {
    for (const ExampleRow& row : store.rows(run_id)) {
      const PassCounts& counts = row.counts;
      table.rows.push_back({run_id,
                            row.doc_id,
                            row.rep,
                            row.doc_sha,
                            row.cluster,
                            row.score ? Cell(*row.score) : Cell(),
                            row.tokens > 0 ? Cell(row.nll) : Cell(),
                            row.tokens > 0 ? Cell(row.nll_m2) : Cell(),
                            row.n_mc,
                            row.tokens,
                            row.bytes,
                            row.words,
                            row.prompt_tokens,
                            row.canvas_tokens,
                            row.kept_tokens,
                            row.special_tokens,
                            counts.passes,
                            counts.positions,
                            counts.head_rows,
                            counts.cached_positions,
                            counts.flops,
                            row.wall_ns,
                            row.exec_status,
                            row.margin,
                            row.output});
    }
  }
  return table;
}

}  // namespace

Table estimates_table(Store& store, std::span<const std::string> run_ids) {
  const Differences differences = differing_settings(store, run_ids);
  Table table;
  table.columns = estimate_columns(differences.names);
  for (const std::string& run_id : run_ids) {
    const Table cost = query_run(
        store, "SELECT nfe, tokens_per_second_accepted FROM v_speed WHERE run_id=?", run_id);
    const Cell nfe = cost.rows.empty() ? Cell() : cost.rows[0][0];
    const Cell rate = cost.rows.empty() ? Cell() : cost.rows[0][1];
    for (const auto& found : query_run(store, kSelectEstimates, run_id).rows) {
      std::vector<Cell>& row = table.rows.emplace_back();
      row = {run_id, found[kModel], found[kTask]};
      for (const std::string& name : differences.names)
        row.push_back(differences.by_run.at(run_id).at(name));
      const std::vector<Cell> rest = estimate_cells(found, nfe, rate);
      row.insert(row.end(), rest.begin(), rest.end());
    }
  }
  hide_empty(table, "variant");
  hide_empty(table, "note");
  return table;
}

std::vector<Table> show_tables(Store& store, const std::string& run_id) {
  const Table run = query_run(
      store,
      "SELECT run_id, status, smoke, model, family, params, dtype, weights_sha256, "
      "tokenizer_sha256, task, task_version, task_kind, data_sha256, n_docs, seed, run_key, "
      "json_extract(identity_json,'$.pairing_key') AS pairing_key, "
      "started_at, ended_at, resumes, superseded_by, text_of_run, error, git_commit, dirty, torch, "
      "numerics_epoch, host, cpu, gpu, cmdline FROM v_run WHERE run_id=?",
      run_id);
  const Table cost = query_run(
      store,
      "SELECT n_rows AS rows, tok AS tokens, canvas_tok AS canvas_tokens, "
      "prompt_tok AS prompt_tokens, special_tok AS special_tokens, nfe, positions, head_rows, "
      "cached_positions, flops, s.wall_ns/1e9 AS examples_s, r.wall_ns/1e9 AS wall_s, "
      "load_ns/1e9 AS load_s, peak_rss_bytes, threads, tokens_per_second_accepted, "
      "tokens_per_second_canvas, tokens_per_forward, flops_per_second "
      "FROM run r LEFT JOIN (SELECT * FROM v_speed WHERE run_id=?1) s USING(run_id) "
      "WHERE r.run_id=?1",
      run_id);
  Table settings{"settings", {{"setting", ""}, {"value", ""}}, {}};
  for (const auto& [name, value] : settings_of(store, run_id))
    settings.rows.push_back({name, value});
  Table estimates = estimates_table(store, std::span(&run_id, 1));
  estimates.title = "estimates";
  return {transposed(run, "run"), settings, estimates, transposed(cost, "cost"),
          data_table(store, run_id)};
}

Table export_rows(Store& store, std::span<const std::string> run_ids, std::string_view what) {
  static const std::vector<std::string> kKinds = {"examples", "metrics", "runs"};
  if (std::find(kKinds.begin(), kKinds.end(), what) == kKinds.end())
    throw unknown_name("export", what, kKinds);
  if (what == "examples")
    return export_examples(store, run_ids);
  const std::string sql = what == "runs" ? "SELECT * FROM v_run WHERE run_id=?"
                                         : "SELECT m.*, d.unit, d.better FROM metric m JOIN "
                                           "metric_def d USING(metric) WHERE run_id=?";
  Table table = query_run(store, sql, "");  // the columns, also where there is no run
  for (const std::string& run_id : run_ids) {
    for (auto& row : query_run(store, sql, run_id).rows) table.rows.push_back(std::move(row));
  }
  return table;
}

}  // namespace dlm
