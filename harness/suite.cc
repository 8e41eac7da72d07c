#include "harness/suite.h"

#include <algorithm>

#include <nlohmann/json.hpp>

#include "harness/base/error.h"
#include "harness/base/toml.h"

namespace dlm {
namespace {

// The values of one key: a list is an axis; a text is taken as the command line takes it
// ("8-64*2").
SweepAxis axis_of(const Field<RunSpec>& field, const Json& value) {
  const FieldValue like = field.get(RunSpec());
  if (value.is_string())
    return make_axis(field.key, value.get<std::string>());
  const bool list_setting = std::holds_alternative<std::vector<std::string>>(like);
  const auto one = [&](const Json& item) {
    return field_text(parse_field_json(field.key, item, like, field.limits));
  };
  if (list_setting || !value.is_array())
    return {field.key, {one(value)}};
  SweepAxis axis{field.key, {}};
  for (const Json& item : value) axis.values.push_back(one(item));
  if (axis.values.empty())
    throw ConfigError(field.key, "[]", "a list needs a value");
  return axis;
}

void add_settings(const Json& table, const std::string& source, SuiteEntry& entry) {
  for (const auto& [key, value] : flatten(table)) {
    if (key == "needs_data" || key == "needs_zoo") {
      if (!value.is_boolean())
        throw ConfigError(source + ": " + key, canonical_json(value), "must be true or false");
      (key == "needs_data" ? entry.needs_data : entry.needs_zoo) = value.get<bool>();
      continue;
    }
    if (key == "table") {
      if (!value.is_string())
        throw ConfigError(source + ": table", canonical_json(value), "the name of a [[table]]");
      entry.table = value.get<std::string>();
      continue;
    }
    const Field<RunSpec>* field = run_fields().find(key);
    if (field == nullptr) {
      std::vector<std::string> known = run_fields().keys();
      known.insert(known.end(), {"needs_data", "needs_zoo", "table"});
      throw unknown_name(source + ": key", key, known);
    }
    entry.axes = with_overrides(std::move(entry.axes), {axis_of(*field, value)});
  }
}

SuiteTable table_of(const Json& json, const std::string& source) {
  const std::string where = source + ": table";
  const std::vector<std::string> keys{"name", "title", "columns"};
  if (!json.is_object())
    throw ConfigError(where, canonical_json(json), "must be a table");
  for (const auto& [key, value] : json.items()) {
    if (std::find(keys.begin(), keys.end(), key) == keys.end())
      throw unknown_name(where + ": key", key, keys);
  }
  const auto text = [&](const char* key, const std::string& fallback) {
    const Json value = json.value(key, Json(fallback));
    if (!value.is_string() || value.get<std::string>().empty())
      throw ConfigError(where + ": " + key, canonical_json(value), "a text");
    return value.get<std::string>();
  };
  SuiteTable table;
  table.name = text("name", "");
  table.spec.title = text("title", table.name);
  const Json columns = json.value("columns", Json());
  if (!columns.is_array() || columns.empty())
    throw ConfigError(where + ": columns", canonical_json(columns), "a list of estimates");
  for (const Json& column : columns) {
    if (!column.is_string())
      throw ConfigError(where + ": columns", canonical_json(column), "a list of texts");
    table.spec.columns.push_back(column.get<std::string>());
  }
  return table;
}

void check_tables(const Suite& suite, const std::string& source) {
  std::vector<std::string> names;
  for (const SuiteTable& table : suite.tables) names.push_back(table.name);
  for (const SuiteEntry& entry : suite.entries) {
    if (!entry.table.empty() && std::find(names.begin(), names.end(), entry.table) == names.end())
      throw unknown_name(source + ": table", entry.table, names);
  }
}

}  // namespace

std::vector<SweepAxis> with_overrides(std::vector<SweepAxis> axes,
                                      const std::vector<SweepAxis>& overrides) {
  for (const SweepAxis& override : overrides) {
    const auto same = [&](const SweepAxis& axis) { return axis.key == override.key; };
    const auto it = std::find_if(axes.begin(), axes.end(), same);
    if (it == axes.end()) {
      axes.push_back(override);
    } else {
      *it = override;
    }
  }
  return axes;
}

Suite parse_suite(std::string_view toml, const std::string& source) {
  const Json file = parse_toml(toml, source);
  const std::vector<std::string> known{"name", "defaults", "run", "table"};
  for (const auto& [key, value] : file.items()) {
    if (std::find(known.begin(), known.end(), key) == known.end())
      throw unknown_name(source + ": key", key, known);
  }
  Suite suite;
  suite.name = json_string_or(file, "name", source, source);
  SuiteEntry defaults;
  if (file.contains("defaults")) {
    if (!file["defaults"].is_object())
      throw ConfigError(source + ": defaults", "", "must be a table");
    add_settings(file["defaults"], source, defaults);
  }
  const Json runs = file.value("run", Json::array());
  if (!runs.is_array() || runs.empty())
    throw ConfigError(source + ": run", "", "needs at least one [[run]] table");
  for (const Json& run : runs) {
    if (!run.is_object())
      throw ConfigError(source + ": run", canonical_json(run), "must be a table");
    SuiteEntry entry = defaults;
    add_settings(run, source, entry);
    suite.entries.push_back(std::move(entry));
  }
  const Json tables = file.value("table", Json::array());
  if (!tables.is_array())
    throw ConfigError(source + ": table", canonical_json(tables), "must be [[table]]");
  for (const Json& table : tables) suite.tables.push_back(table_of(table, source));
  check_tables(suite, source);
  return suite;
}

}  // namespace dlm
