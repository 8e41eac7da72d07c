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
#include "results/pairs.h"

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
  check_keys(json, {"class", "z", "relative", "absolute", "relative_se", "n", "scale", "reason"},
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
      cell.command = command_of_cell(json_string(table, "run", where), cell);
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
  if (tolerance.n_claimed > 0 && cell.metric == "exact_match") {
    const double p = std::clamp(claimed / tolerance.scale, 0.0, 1.0);
    sampling = tolerance.scale * std::sqrt(p * (1 - p) / static_cast<double>(tolerance.n_claimed));
  }
  return std::hypot(sampling, half_rounding(cell.claimed) / std::sqrt(3.0));
}

bool has_settings(const RunFacts& facts, const std::map<std::string, std::string>& wanted) {
  return std::all_of(wanted.begin(), wanted.end(), [&](const auto& setting) {
    for (const auto& [key, value] : facts.settings) {
      if (key != setting.first && split(key, '.').back() != setting.first)
        continue;
      const auto a = parse_double(value);
      const auto b = parse_double(setting.second);
      return a && b ? *a == *b : value == setting.second;
    }
    return false;
  });
}

struct Estimated {
  double value = 0;
  std::optional<double> error;
};

std::optional<Estimated> stored_value(Store& store, const std::string& run_id,
                                      const std::string& metric) {
  const std::array<Cell, 2> parameters = {run_id, metric};
  std::optional<Estimated> found;
  const bool speed = metric == "tokens_per_second";
  store.scan(speed ? "SELECT tokens_per_second_accepted, NULL, NULL FROM v_speed WHERE run_id=? "
                     "AND ?<>''"
                   : "SELECT value, se_data, se_mc FROM metric WHERE run_id=? AND metric=? "
                     "ORDER BY variant DESC",
             parameters, [&](const Statement& row) {
               if (const auto value = row.optional_real(0)) {
                 found = Estimated{*value, row.optional_real(1)};
                 if (found->error)
                   found->error = std::hypot(*found->error, row.real(2));
               }
             });
  return found;
}

std::vector<std::string> candidates(Store& store, const PaperCell& cell) {
  const std::array<Cell, 2> parameters = {cell.model, cell.task};
  std::vector<std::string> ids;
  store.scan(
      "SELECT run_id FROM v_run WHERE (model=?1 OR model LIKE '%/'||?1) AND task=?2 AND "
      "status='done' AND smoke=0 AND superseded_by IS NULL ORDER BY run_id DESC",
      parameters, [&](const Statement& row) { ids.push_back(row.text(0)); });
  return ids;
}

CellResult find_and_judge(Store& store, const PaperCell& cell) {
  for (const std::string& run_id : candidates(store, cell)) {
    if (!has_settings(run_facts(store, run_id), cell.settings))
      continue;
    const auto found = stored_value(store, run_id, cell.metric);
    if (!found)
      continue;
    const double scale = cell.tolerance.scale;
    std::optional<double> error;
    if (found->error)
      error = scale * *found->error;
    CellResult result = judge_cell(cell, scale * found->value, error);
    result.run_id = run_id;
    return result;
  }
  CellResult missing;
  missing.cell = cell;
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
  if (result.verdict == CellVerdict::kNotRun)
    return "not run: " + fmt::format("{}", fmt::join(result.cell.needs, "; "));
  if (result.verdict == CellVerdict::kHolds)
    return "holds";
  return result.z ? fmt::format("off by {:.1f} se", std::abs(*result.z)) : "off";
}

}  // namespace

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
    if (result.verdict == CellVerdict::kNotRun && seen.insert(result.cell.command).second)
      table.rows.push_back(
          {result.cell.command, fmt::format("{}", fmt::join(result.cell.needs, "; "))});
  }
  return table;
}

}  // namespace dlm
