#include "results/repro.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <set>

#include <nlohmann/json.hpp>

#include "harness/base/error.h"
#include "harness/base/field.h"
#include "harness/base/json.h"
#include "harness/base/text.h"
#include "harness/base/toml.h"
#include "results/metric_value.h"

namespace dlm {
namespace {

void check_keys(const Json& object, const std::vector<std::string>& known,
                const std::string& source) {
  if (!object.is_object())
    throw ConfigError(source, object.dump().substr(0, 60), "must be a table");
  for (const auto& [key, value] : object.items()) {
    if (std::find(known.begin(), known.end(), key) == known.end())
      throw unknown_name(source + ": key", key, known);
  }
}

std::vector<std::string> texts_of(const Json& list, const std::string& source) {
  if (!list.is_array())
    throw ConfigError(source, list.dump().substr(0, 60), "must be a list of texts");
  std::vector<std::string> texts;
  for (const Json& item : list) {
    if (!item.is_string())
      throw ConfigError(source, item.dump().substr(0, 60), "must be a text");
    texts.push_back(item.get<std::string>());
  }
  return texts;
}

Tolerance tolerance_of(const Json& json, const std::string& source) {
  check_keys(
      json,
      {"class", "z", "relative", "absolute", "relative_se", "n", "scale", "logarithm", "reason"},
      source);
  Tolerance tolerance;
  const std::string kind = json_string(json, "class", source);
  static const std::vector<std::string> kClasses = {"exact", "statistical", "systematic"};
  const auto found = std::find(kClasses.begin(), kClasses.end(), kind);
  if (found == kClasses.end())
    throw unknown_name(source + ": class", kind, kClasses);
  tolerance.kind = static_cast<ToleranceClass>(found - kClasses.begin());
  tolerance.z = json_double_or(json, "z", 3, source);
  tolerance.relative = json_double_or(json, "relative", 0, source);
  tolerance.absolute = json_double_or(json, "absolute", 0, source);
  tolerance.relative_se = json_double_or(json, "relative_se", 0, source);
  tolerance.n_claimed = json_int_or(json, "n", 0, source);
  tolerance.scale = json_double_or(json, "scale", 1, source);
  tolerance.logarithm = json_bool_or(json, "logarithm", false, source);
  tolerance.reason = json_string_or(json, "reason", "", source);
  if (tolerance.kind == ToleranceClass::kSystematic && tolerance.reason.empty())
    throw ConfigError(source + ": reason", "", "a systematic tolerance says why");
  return tolerance;
}

// The value of a map by row, or by column.
std::string by_place(const Json& table, const char* map, const PaperCell& cell,
                     const std::string& source) {
  const Json object = table.value(map, Json::object());
  for (const std::string& key : {cell.row, cell.column}) {
    if (object.contains(key))
      return json_string(object, key.c_str(), source);
  }
  throw ConfigError(fmt::format("{}: {}", source, map),
                    fmt::format("{}, {}", cell.row, cell.column),
                    "neither the row nor the column has one");
}

void take_settings(const Json& table, PaperCell& cell, const std::string& source) {
  const Json all = table.value("settings", Json::object());
  for (const std::string& key : {cell.row, cell.column}) {
    if (!all.contains(key))
      continue;
    for (const auto& [name, value] : all.at(key).items())
      cell.settings[name] = json_string(all.at(key), name.c_str(), source);
  }
}

// The template with its names filled in and the cell's settings as options, before any remark.
std::string command_of_cell(std::string command, const PaperCell& cell) {
  const auto fill = [&command](const std::string& name, const std::string& value) {
    for (auto at = command.find(name); at != std::string::npos; at = command.find(name))
      command.replace(at, name.size(), value);
  };
  fill("{model}", cell.model);
  fill("{task}", cell.task);
  std::string options;
  for (const auto& [name, value] : cell.settings) {
    if (!value.empty())  // what a cell asks to be unset is so unless it is given
      options += fmt::format(" --{} {}", field_flag(name), value);
  }
  const auto remark = command.find(" # ");
  command.insert(remark == std::string::npos ? command.size() : remark, options);
  return command;
}

// A number of documents is that of a proportion: it decides the claim's sampling error.
void check_tolerance(const PaperCell& cell, const std::string& source) {
  static const std::vector<std::string> kProportions = {"accuracy", "answers_found",
                                                        "majority_accuracy", "pass_at_k"};
  const std::string name = cell.metric.substr(0, cell.metric.find(':'));
  if (cell.tolerance.n_claimed > 0 &&
      std::find(kProportions.begin(), kProportions.end(), name) == kProportions.end())
    throw ConfigError(source + " tolerance n", cell.metric,
                      fmt::format("of a proportion: {}", fmt::join(kProportions, ", ")));
}

void add_cells(const Json& table, const std::string& source, Paper& paper) {
  check_keys(table,
             {"id", "title", "run", "needs", "source", "tolerance", "metric", "metrics", "columns",
              "rows", "models", "tasks", "settings"},
             source);
  const std::string id = json_string(table, "id", source);
  const std::string where = fmt::format("{}: table {}", source, id);
  const auto columns = texts_of(table.value("columns", Json::array()), where + " columns");
  std::vector<std::string> metrics(columns.size(), json_string_or(table, "metric", "", where));
  if (table.contains("metrics"))
    metrics = texts_of(table.at("metrics"), where + " metrics");
  const Tolerance tolerance = tolerance_of(table.value("tolerance", Json::object()), where);
  const Json rows = table.value("rows", Json::object());
  for (const auto& [row, values] : rows.items()) {
    const auto claims = texts_of(values, where + " row " + row);
    if (claims.size() != columns.size() || metrics.size() != columns.size()) {
      throw ConfigError(where + " row " + row, fmt::format("{} values", claims.size()),
                        fmt::format("one for each of {} columns and metrics", columns.size()));
    }
    for (std::size_t i = 0; i < claims.size(); ++i) {
      if (claims[i].empty())
        continue;
      if (!parse_double(claims[i]))
        throw ConfigError(where + " row " + row, claims[i], "must be a number as text");
      PaperCell cell;
      cell.table = id;
      cell.row = row;
      cell.column = columns[i];
      cell.metric = metrics[i];
      cell.claimed = claims[i];
      cell.tolerance = tolerance;
      cell.model = by_place(table, "models", cell, where);
      cell.task = by_place(table, "tasks", cell, where);
      take_settings(table, cell, where);
      check_tolerance(cell, where);
      const std::string command = json_string(table, "run", where);
      if (!command.empty())
        cell.command = command_of_cell(command, cell);
      cell.asked = parse_cell_command(cell.command, where + " run");
      cell.needs = texts_of(table.value("needs", Json::array()), where + " needs");
      paper.cells.push_back(std::move(cell));
    }
  }
}

// Half of a unit in the last digit that a claim shows.
double half_rounding(const std::string& claimed) {
  const auto point = claimed.find('.');
  const auto digits = point == std::string::npos ? 0 : claimed.size() - point - 1;
  return 0.5 * std::pow(10.0, -static_cast<double>(digits));
}

// Standard error of the claim: its rounding, and what is known of its sampling.
double claim_error(const PaperCell& cell, double claimed) {
  const Tolerance& tolerance = cell.tolerance;
  double sampling = tolerance.relative_se * std::abs(claimed);
  if (tolerance.n_claimed > 0) {
    const double p = std::clamp(claimed / tolerance.scale, 0.0, 1.0);
    sampling = tolerance.scale * std::sqrt(p * (1 - p) / static_cast<double>(tolerance.n_claimed));
  }
  return std::hypot(sampling, half_rounding(cell.claimed) / std::sqrt(3.0));
}

struct Estimated {
  double value = 0;
  std::optional<double> error;
};

// What is no stored estimate but follows from the rows; nothing where they do not have it.
std::optional<Estimated> derived_value(Store& store, const std::string& run_id,
                                       const std::string& metric) {
  const std::array<Cell, 1> parameters = {run_id};
  std::optional<Estimated> found;
  store.scan("SELECT tokens_per_second_accepted, nfe*1.0/n_rows FROM v_speed WHERE run_id=?",
             parameters, [&](const Statement& row) {
               if (const auto value = row.optional_real(metric == "nfe" ? 1 : 0))
                 found = Estimated{*value, std::nullopt};
             });
  return found;
}

// In the claim's units.
std::optional<Estimated> value_of(Store& store, const std::string& run_id, const PaperCell& cell) {
  const auto& derived = derived_metrics();
  std::optional<Estimated> found;
  if (std::find(derived.begin(), derived.end(), cell.metric) != derived.end()) {
    found = derived_value(store, run_id, cell.metric);
  } else if (const auto stored = metric_value(store, run_id, cell.metric)) {
    found = Estimated{stored->value, std::nullopt};
    if (stored->has_error)
      found->error = stored->error;
  }
  if (!found)
    return std::nullopt;
  if (cell.tolerance.logarithm) {
    if (found->error)
      *found->error /= found->value;
    found->value = std::log(found->value);
  }
  found->value *= cell.tolerance.scale;
  if (found->error)
    *found->error *= cell.tolerance.scale;
  return found;
}

struct Candidate {
  std::string run_id, spec_json, command;
};

// Finished runs of the cell's model and task, latest first. What else was measured on the documents
// of a run (gradient, cost, ...), and text that was scored, has settings of its own. Only some of
// the documents are a run like any other where the command says so.
std::vector<Candidate> candidates(Store& store, const PaperCell& cell) {
  const bool is_run = cell.asked.run.has_value();
  const bool is_limited = is_run || cell.asked.options.contains("limit");
  const std::array<Cell, 4> parameters = {cell.model, cell.task, std::int64_t{is_run ? 1 : 0},
                                          std::int64_t{is_limited ? 1 : 0}};
  std::vector<Candidate> found;
  store.scan(
      "SELECT run_id, spec_json, cmdline FROM v_run WHERE (model=?1 OR model LIKE '%/'||?1) AND "
      "task=?2 AND status='done' AND superseded_by IS NULL AND (smoke=0 OR ?4) AND "
      "(task_kind='generations')<>?3 AND json_extract(identity_json,'$.measures') IS NULL "
      "ORDER BY run_id DESC",
      parameters, [&](const Statement& row) {
        found.push_back({row.text(0), row.text(1), row.text(2)});
      });
  return found;
}

CellResult find_and_judge(Store& store, const PaperCell& cell) {
  CellResult missing;
  missing.cell = cell;
  if (cell.command.empty())
    return missing;
  std::size_t fewest = 0;
  for (const Candidate& run : candidates(store, cell)) {
    const auto differences =
        deviations(cell.asked, {run.spec_json, run.command},
                   cell.metric == "tokens_per_second" ? Claim::kRate : Claim::kNumber);
    if (!differences.empty()) {
      if (missing.nearest.empty() || differences.size() < fewest) {
        fewest = differences.size();
        missing.nearest = fmt::format("run {} has {}", run.run_id, fmt::join(differences, ", "));
      }
      continue;
    }
    const auto found = value_of(store, run.run_id, cell);
    if (!found)
      continue;
    CellResult result = judge_cell(cell, found->value, found->error);
    result.run_id = run.run_id;
    return result;
  }
  return missing;
}

std::string tolerance_text(const Tolerance& tolerance) {
  switch (tolerance.kind) {
    case ToleranceClass::kExact:
      return "exact";
    case ToleranceClass::kStatistical:
      return fmt::format("statistical, {:g} se", tolerance.z);
    case ToleranceClass::kSystematic:
      return fmt::format("systematic, {:g} %{}: {}", 100 * tolerance.relative,
                         tolerance.absolute > 0 ? fmt::format(" + {:g}", tolerance.absolute) : "",
                         tolerance.reason);
  }
  return "";
}

std::string verdict_text(const CellResult& result) {
  if (result.verdict == CellVerdict::kNotRun) {
    const std::string needs = fmt::format("not run: {}", fmt::join(result.cell.needs, "; "));
    return result.nearest.empty() ? needs : fmt::format("{}; {}", needs, result.nearest);
  }
  if (result.verdict == CellVerdict::kHolds)
    return "holds";
  return result.z ? fmt::format("off by {:.1f} se", std::abs(*result.z)) : "off";
}

}  // namespace

const std::vector<std::string>& derived_metrics() {
  static const std::vector<std::string> kDerived = {"tokens_per_second", "nfe"};
  return kDerived;
}

Paper parse_paper(std::string_view toml, const std::string& source) {
  const Json file = parse_toml(toml, source);
  check_keys(file, {"name", "table"}, source);
  Paper paper;
  paper.name = json_string_or(file, "name", source, source);
  const Json tables = file.value("table", Json::array());
  if (!tables.is_array() || tables.empty())
    throw ConfigError(source + ": table", "", "needs at least one [[table]]");
  for (const Json& table : tables) add_cells(table, source, paper);
  return paper;
}

CellResult judge_cell(const PaperCell& cell, double ours, std::optional<double> std_error) {
  const double claimed = parse_double(cell.claimed).value_or(0);
  const double own = std_error.value_or(0);
  const double distance = ours - claimed;
  CellResult result;
  result.cell = cell;
  result.ours = ours;
  result.std_error = std_error;
  const double error = std::hypot(own, claim_error(cell, claimed));
  result.z = distance / error;
  const Tolerance& tolerance = cell.tolerance;
  bool holds = false;
  switch (tolerance.kind) {
    case ToleranceClass::kExact:
      holds = std::abs(distance) <= half_rounding(cell.claimed) * (1 + 1e-9);
      break;
    case ToleranceClass::kStatistical:
      holds = std::abs(*result.z) <= tolerance.z;
      break;
    case ToleranceClass::kSystematic:
      holds = std::abs(distance) <=
              tolerance.relative * std::abs(claimed) + tolerance.absolute + 3 * own;
      break;
  }
  result.verdict = holds ? CellVerdict::kHolds : CellVerdict::kOff;
  return result;
}

std::vector<CellResult> reproduce(Store& store, const Paper& paper, const std::string& table) {
  std::vector<CellResult> results;
  std::set<std::string> tables;
  for (const PaperCell& cell : paper.cells) {
    tables.insert(cell.table);
    if (table.empty() || cell.table == table)
      results.push_back(find_and_judge(store, cell));
  }
  if (results.empty())
    throw unknown_name("table", table, std::vector<std::string>(tables.begin(), tables.end()));
  return results;
}

Table repro_table(const std::vector<CellResult>& results) {
  constexpr Align kRight = Align::kRight;
  Table table{"",
              {{"table", ""},
               {"row", ""},
               {"column", ""},
               {"metric", "", Align::kLeft, Audience::kPrograms},
               {"claimed", "", kRight},
               {"ours", "", kRight},
               {"std_error", "±", kRight},
               {"z", "", kRight},
               {"tolerance", ""},
               {"verdict", ""},
               {"run_id", "run"},
               {"command", "", Align::kLeft, Audience::kPrograms}},
              {}};
  for (const CellResult& result : results) {
    const auto decimals = decimals_for_error(result.std_error.value_or(0));
    Cell ours = result.ours;
    ours.decimals = decimals;
    Cell error = result.std_error;
    error.decimals = decimals;
    Cell z = result.z;
    z.decimals = 1;
    table.rows.push_back({result.cell.table, result.cell.row, result.cell.column,
                          result.cell.metric, result.cell.claimed, ours, error, z,
                          tolerance_text(result.cell.tolerance), verdict_text(result),
                          result.run_id, result.cell.command});
  }
  return table;
}

Table missing_table(const std::vector<CellResult>& results) {
  Table table{"", {{"command", ""}, {"needs", ""}}, {}};
  std::set<std::string> seen;
  for (const CellResult& result : results) {
    const std::string needs = fmt::format("{}", fmt::join(result.cell.needs, "; "));
    const std::string& command = result.cell.command;
    if (result.verdict == CellVerdict::kNotRun &&
        seen.insert(command.empty() ? needs : command).second)
      table.rows.push_back({command, needs});
  }
  return table;
}

}  // namespace dlm
