// Pieces of the tables that results/report.h makes; no other file needs them.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "harness/base/json.h"
#include "results/store.h"
#include "results/table.h"

namespace dlm {

// A run's settings as text, by dotted name.
using Settings = std::map<std::string, std::string>;

// Every leaf of a nested object as text, by dotted name.
Settings flat_facts(const Json& object);

Settings settings_of(Store& store, const std::string& run_id);

// A query with the run's id as its one parameter.
Table query_run(Store& store, const std::string& sql, const std::string& run_id);

// The last part of a setting's dotted name where that says enough: "sampler.top_k" -> "top_k".
// What is called "name" goes by what it names: "sampler.name" -> "sampler".
std::string short_name(const std::string& name, const std::vector<std::string>& all);

// Empty for a cell that holds no text.
std::string text_of(const Cell& cell);

// With decimals that show about four significant digits.
Cell rate_cell(const Cell& cell);

// Takes a column without a value away.
void hide_empty(Table& table, std::string_view name);

}  // namespace dlm
