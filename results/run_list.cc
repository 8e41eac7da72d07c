// Which runs, and `list`: a line each.
#include <algorithm>
#include <array>
#include <map>
#include <set>
#include <utility>

#include "harness/base/error.h"
#include "harness/base/log.h"
#include "results/report.h"
#include "results/report_parts.h"

namespace dlm {
namespace {

// SQL: the filter is empty, or the column's name, or as it was typed for the run, or a pattern of
// either ("gpt2*").
std::string name_filter(const std::string& column, const std::string& parameter) {
  const std::string typed = fmt::format("json_extract(spec_json,'$.{}')", column);
  return fmt::format("({0}='' OR {0} IN ({1},{2}) OR {1} GLOB {0} OR coalesce({2} GLOB {0},0))",
                     parameter, column, typed);
}

// Names that the store has in `column` of v_run, and what was typed for them.
std::vector<std::string> names_in(Store& store, const std::string& column) {
  std::vector<std::string> names;
  const Table found = store.query(fmt::format(
      "SELECT DISTINCT {0} FROM v_run UNION SELECT DISTINCT json_extract(spec_json,'$.{0}') FROM "
      "v_run WHERE json_extract(spec_json,'$.{0}')<>''",
      column));
  for (const auto& row : found.rows) names.push_back(text_of(row[0]));
  return names;
}

// Says which of the filters matches no run, whatever the others.
void warn_of_no_match(Store& store, const std::string& column, const std::string& wanted) {
  if (wanted.empty())
    return;
  const std::array<Cell, 1> parameters = {wanted};
  const Table found = store.query(
      fmt::format("SELECT 1 FROM v_run WHERE {} LIMIT 1", name_filter(column, "?1")), parameters);
  if (!found.rows.empty())
    return;
  const std::string near = nearest_name(wanted, names_in(store, column));
  log_warning(fmt::format("no run of {} '{}'{}", column, wanted,
                          near.empty() ? "" : fmt::format("; did you mean '{}'?", near)));
}

// Settings that tell apart runs of one model and task, of those that all of them have: what a sweep
// went through. Dotted names.
std::vector<std::string> swept_settings(const std::vector<std::vector<Cell>>& rows,
                                        const std::map<std::string, Settings>& by_run) {
  std::map<std::pair<std::string, std::string>, std::vector<const Settings*>> groups;
  for (const auto& row : rows)
    groups[{text_of(row[1]), text_of(row[2])}].push_back(&by_run.at(text_of(row[0])));
  std::set<std::string> swept;
  for (const auto& [name, group] : groups) {
    for (const auto& [setting, value] : *group.front()) {
      const auto has = [&](const Settings* one) { return one->contains(setting); };
      const auto differs = [&](const Settings* one) { return one->at(setting) != value; };
      if (std::all_of(group.begin(), group.end(), has) &&
          std::any_of(group.begin(), group.end(), differs))
        swept.insert(setting);
    }
  }
  for (const char* shown : {"model", "task", "metrics", "seed"}) swept.erase(shown);
  return {swept.begin(), swept.end()};
}

void add_swept_settings(Store& store, Table& table) {
  std::map<std::string, Settings> by_run;
  for (const auto& row : table.rows) by_run[text_of(row[0])] = settings_of(store, text_of(row[0]));
  const std::vector<std::string> names = swept_settings(table.rows, by_run);
  std::vector<Column> columns;
  for (const std::string& name : names) columns.push_back({name, short_name(name, names)});
  constexpr std::ptrdiff_t kBehindTask = 3;
  table.columns.insert(table.columns.begin() + kBehindTask, columns.begin(), columns.end());
  for (auto& row : table.rows) {
    const Settings& settings = by_run.at(text_of(row[0]));
    std::vector<Cell> cells;
    for (const std::string& name : names)
      cells.push_back(settings.contains(name) ? Cell(settings.at(name)) : Cell());
    row.insert(row.begin() + kBehindTask, cells.begin(), cells.end());
  }
}

}  // namespace

std::vector<std::string> select_runs(Store& store, const RunFilter& filter) {
  static const std::vector<std::string> kStatuses = {"running", "done", "failed", "partial"};
  if (!filter.status.empty() &&
      std::find(kStatuses.begin(), kStatuses.end(), filter.status) == kStatuses.end())
    throw unknown_name("status", filter.status, kStatuses);
  const std::array<Cell, 5> parameters = {filter.model, filter.task, filter.status,
                                          static_cast<std::int64_t>(filter.superseded ? 1 : 0),
                                          filter.limit > 0 ? filter.limit : std::int64_t{-1}};
  const Table found = store.query(
      fmt::format("SELECT run_id FROM (SELECT run_id FROM v_run WHERE {} AND {} AND ?3 IN "
                  "('',status) AND (?4 OR superseded_by IS NULL) ORDER BY run_id DESC LIMIT ?5) "
                  "ORDER BY run_id",
                  name_filter("model", "?1"), name_filter("task", "?2")),
      parameters);
  if (found.rows.empty()) {
    warn_of_no_match(store, "model", filter.model);
    warn_of_no_match(store, "task", filter.task);
  }
  std::vector<std::string> run_ids;
  for (const auto& row : found.rows) run_ids.push_back(text_of(row[0]));
  return run_ids;
}

Table runs_table(Store& store, const RunFilter& filter) {
  constexpr Align kRight = Align::kRight;
  Table table;
  table.columns = {{"run_id", "run"},
                   {"model", ""},
                   {"task", ""},
                   {"seed", "", kRight},
                   {"status", ""},
                   {"smoke", "", kRight, Audience::kPrograms},
                   {"rows", "", kRight},
                   {"n_docs", "n docs", kRight},
                   {"started_at", "started"},
                   {"wall_s", "wall s", kRight},
                   {"error", ""}};
  for (const std::string& run_id : select_runs(store, filter)) {
    Table found = query_run(store,
                            "SELECT run_id, model, task, seed, status, smoke, "
                            "coalesce(stored_rows,(SELECT count(*) FROM sample s WHERE "
                            "s.run_id=v.run_id)), n_docs, started_at, "
                            "wall_ns/1e9, error FROM v_run v WHERE run_id=?",
                            run_id);
    found.rows[0][9] = rate_cell(found.rows[0][9]);
    table.rows.push_back(std::move(found.rows[0]));
  }
  hide_empty(table, "error");
  add_swept_settings(store, table);
  return table;
}

}  // namespace dlm
