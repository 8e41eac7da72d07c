#include "harness/base/toml.h"

#include <nlohmann/json.hpp>
#define TOML_EXCEPTIONS 1
#include <toml++/toml.h>

#include "harness/base/error.h"

namespace dlm {
namespace {

Json to_json(const toml::node& node, const std::string& source);

Json to_json(const toml::table& table, const std::string& source) {
  Json object = Json::object();
  for (const auto& [key, value] : table) object[std::string(key.str())] = to_json(value, source);
  return object;
}

Json to_json(const toml::node& node, const std::string& source) {
  if (const auto* table = node.as_table())
    return to_json(*table, source);
  if (const auto* array = node.as_array()) {
    Json list = Json::array();
    for (const auto& item : *array) list.push_back(to_json(item, source));
    return list;
  }
  if (const auto* text = node.as_string())
    return text->get();
  if (const auto* whole = node.as_integer())
    return whole->get();
  if (const auto* number = node.as_floating_point())
    return number->get();
  if (const auto* truth = node.as_boolean())
    return truth->get();
  throw ConfigError(source, fmt::format("line {}", node.source().begin.line),
                    "dates have no meaning here");
}

}  // namespace

Json parse_toml(std::string_view text, const std::string& source) {
  try {
    return to_json(toml::parse(text, source), source);
  } catch (const toml::parse_error& error) {
    throw ConfigError(source, fmt::format("line {}", error.source().begin.line),
                      error.description());
  }
}

}  // namespace dlm
