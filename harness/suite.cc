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
    const Field<RunSpec>* field = run_fields().find(key);
    if (field == nullptr) {
      std::vector<std::string> known = run_fields().keys();
      known.insert(known.end(), {"needs_data", "needs_zoo"});
      throw unknown_name(source + ": key", key, known);
    }
    entry.axes = with_overrides(std::move(entry.axes), {axis_of(*field, value)});
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
  const std::vector<std::string> known{"name", "defaults", "run"};
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
  return suite;
}

}  // namespace dlm
