#include "results/model_table.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <map>
#include <optional>
#include <utility>

#include "harness/base/error.h"

namespace dlm {
namespace {

struct CellValue {
  double value = 0;
  double std_error = 0;
  std::optional<double> low, high;
  bool is_bound = false;
};

// "table column" -> its value.
using ModelCells = std::map<std::string, CellValue>;

struct ModelRow {
  std::string model;
  ModelCells cells;
};

std::optional<double> real(const Cell& cell) {
  if (const auto* number = std::get_if<double>(&cell.value))
    return *number;
  if (const auto* number = std::get_if<std::int64_t>(&cell.value))
    return static_cast<double>(*number);
  return std::nullopt;
}

std::string text(const Cell& cell) {
  const auto* found = std::get_if<std::string>(&cell.value);
  return found == nullptr ? "" : *found;
}

// Everything that one run has a column for.
ModelCells cells_of(Store& store, const std::string& run_id, const std::string& kind) {
  ModelCells cells;
  const std::array<Cell, 1> parameters = {run_id};
  const Table found = store.query(
      "SELECT metric, variant, value, se_data, se_mc, ci_lo, ci_hi, est FROM metric WHERE run_id=?",
      parameters);
  for (const auto& row : found.rows) {
    CellValue cell;
    cell.value = real(row[2]).value_or(0);
    cell.std_error = std::hypot(real(row[3]).value_or(0), real(row[4]).value_or(0));
    cell.low = real(row[5]);
    cell.high = real(row[6]);
    cell.is_bound = text(row[7]).starts_with("upper bound");
    const std::string variant = text(row[1]);
    cells[variant.empty() ? text(row[0]) : text(row[0]) + "/" + variant] = cell;
  }
  const Table cost = store.query(
      "SELECT tokens_per_second_accepted, nfe*1.0/nullif(tok,0) FROM v_speed WHERE run_id=?",
      parameters);
  if (cost.rows.empty())
    return cells;
  const bool generated = kind == "samples";
  if (const auto rate = real(cost.rows[0][0]))
    cells[generated ? "tokens_per_second" : "scored_tokens_per_second"].value = *rate;
  if (const auto passes = real(cost.rows[0][1]); generated && passes)
    cells["nfe_per_token"].value = *passes;
  return cells;
}

std::vector<ModelRow> rows_of(Store& store, std::span<const std::string> run_ids,
                              const ModelTableSpec& spec) {
  std::vector<ModelRow> rows;
  for (const std::string& run_id : run_ids) {
    const std::array<Cell, 1> parameters = {run_id};
    const Table run = store.query("SELECT model, task_kind FROM v_run WHERE run_id=?", parameters);
    DLM_CHECK(run.rows.size() == 1, "run {}", run_id);
    const std::string model = text(run.rows[0][0]);
    auto row = std::find_if(rows.begin(), rows.end(),
                            [&](const ModelRow& one) { return one.model == model; });
    if (row == rows.end())
      row = rows.insert(rows.end(), {model, {}});
    for (const auto& [name, cell] : cells_of(store, run_id, text(run.rows[0][1]))) {
      const bool is_shown =
          std::find(spec.columns.begin(), spec.columns.end(), name) != spec.columns.end();
      if (!row->cells.emplace(name, cell).second && is_shown)
        throw ConfigError("table " + spec.title, name,
                          fmt::format("of one run a model: two give that of {}", model));
    }
  }
  return rows;
}

void check_columns(const std::vector<ModelRow>& rows, const ModelTableSpec& spec) {
  std::map<std::string, CellValue> all;
  for (const ModelRow& row : rows) all.insert(row.cells.begin(), row.cells.end());
  for (const std::string& column : spec.columns) {
    if (all.contains(column))
      continue;
    std::vector<std::string> known;
    for (const auto& [name, cell] : all) known.push_back(name);
    throw unknown_name("table " + spec.title + ": column", column, known);
  }
}

// "≤11.43 [11.24, 11.62]", to the digits that the error leaves.
Cell for_people(const CellValue& cell) {
  std::optional<int> decimals = decimals_for_error(cell.std_error);
  if (!decimals && cell.low)
    decimals = decimals_for_error((*cell.high - *cell.low) / 4);
  const std::string mark = cell.is_bound ? "≤" : "";
  if (!decimals)
    return fmt::format("{}{:.4g}", mark, cell.value);
  if (!cell.low)
    return fmt::format("{}{:.{}f}", mark, cell.value, *decimals);
  return fmt::format("{}{:.{}f} [{:.{}f}, {:.{}f}]", mark, cell.value, *decimals, *cell.low,
                     *decimals, *cell.high, *decimals);
}

}  // namespace

Table model_table(Store& store, std::span<const std::string> run_ids, const ModelTableSpec& spec) {
  const std::vector<ModelRow> rows = rows_of(store, run_ids, spec);
  check_columns(rows, spec);
  Table table;
  table.title = spec.title;
  table.columns = {{"model", ""}};
  for (const std::string& column : spec.columns) {
    table.columns.push_back({column + "_text", column, Align::kRight, Audience::kPeople});
    table.columns.push_back({column, "", Align::kRight, Audience::kPrograms});
    table.columns.push_back({column + "_ci_low", "", Align::kRight, Audience::kPrograms});
    table.columns.push_back({column + "_ci_high", "", Align::kRight, Audience::kPrograms});
  }
  for (const ModelRow& row : rows) {
    std::vector<Cell>& cells = table.rows.emplace_back();
    cells.emplace_back(row.model);
    for (const std::string& column : spec.columns) {
      const auto at = row.cells.find(column);
      if (at == row.cells.end()) {
        cells.resize(cells.size() + 4);
        continue;
      }
      cells.push_back(for_people(at->second));
      cells.emplace_back(at->second.value);
      cells.emplace_back(at->second.low);
      cells.emplace_back(at->second.high);
    }
  }
  return table;
}

}  // namespace dlm
