#include "results/report_parts.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <string_view>
#include <utility>

#include <nlohmann/json.hpp>

#include "harness/base/error.h"
#include "harness/base/json.h"
#include "harness/base/text.h"

namespace dlm {
namespace {

void flatten_into(const Json& value, const std::string& name, Settings& out) {
  if (value.is_object()) {
    for (const auto& [key, member] : value.items())
      flatten_into(member, name.empty() ? key : name + "." + key, out);
  } else {
    out[name] = value.is_string() ? value.get<std::string>() : canonical_json(value);
  }
}

// Without what stands before the last dot; see short_name.
std::string last_part(const std::string& name) {
  std::vector<std::string> parts = split(name, '.');
  if (parts.size() > 1 && parts.back() == "name")
    parts.pop_back();
  return parts.back();
}

}  // namespace

Settings flat_facts(const Json& object) {
  Settings facts;
  flatten_into(object, "", facts);
  return facts;
}

Table query_run(Store& store, const std::string& sql, const std::string& run_id) {
  const std::array<Cell, 1> parameters = {run_id};
  return store.query(sql, parameters);
}

Settings settings_of(Store& store, const std::string& run_id) {
  const Table found = query_run(store, "SELECT spec_json FROM v_run WHERE run_id=?", run_id);
  DLM_CHECK(!found.rows.empty(), "no run {}", run_id);
  return flat_facts(parse_json(std::get<std::string>(found.rows[0][0].value), store.path()));
}

std::string short_name(const std::string& name, const std::vector<std::string>& all) {
  const std::string last = last_part(name);
  const auto same = std::count_if(all.begin(), all.end(), [&last](const std::string& other) {
    return last_part(other) == last;
  });
  return same == 1 ? last : name;
}

std::string text_of(const Cell& cell) {
  const auto* text = std::get_if<std::string>(&cell.value);
  return text == nullptr ? "" : *text;
}

Cell rate_cell(const Cell& cell) {
  const auto* rate = std::get_if<double>(&cell.value);
  if (rate == nullptr || *rate <= 0)
    return cell;
  const int magnitude = static_cast<int>(std::floor(std::log10(*rate)));
  return {*rate, std::clamp(3 - magnitude, 0, 12)};
}

void hide_empty(Table& table, std::string_view name) {
  for (std::size_t i = 0; i < table.columns.size(); ++i) {
    if (table.columns[i].name != name)
      continue;
    const bool empty = std::all_of(table.rows.begin(), table.rows.end(),
                                   [i](const auto& row) { return text_of(row[i]).empty(); });
    if (empty)
      table.columns[i].audience = Audience::kPrograms;
  }
}

}  // namespace dlm
