#include "harness/base/field.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>

#include <nlohmann/json.hpp>

#include "harness/base/error.h"
#include "harness/base/text.h"

namespace dlm {
namespace {

template <class... Ts>
struct Overloaded : Ts... {
  using Ts::operator()...;
};
template <class... Ts>
Overloaded(Ts...) -> Overloaded<Ts...>;

std::string allowed_range(const char* kind, const FieldLimits& limits) {
  const bool low = std::isfinite(limits.low);
  const bool high = std::isfinite(limits.high);
  if (limits.low == std::numeric_limits<double>::min())
    return fmt::format("{} above 0{}", kind, high ? fmt::format(", at most {}", limits.high) : "");
  if (low && high)
    return fmt::format("{} from {} to {}", kind, limits.low, limits.high);
  if (low)
    return fmt::format("{} of at least {}", kind, limits.low);
  if (high)
    return fmt::format("{} of at most {}", kind, limits.high);
  return kind;
}

template <class Number>
Number checked_number(std::string_view key, std::string_view text, std::optional<Number> number,
                      const FieldLimits& limits, const char* kind) {
  if (!number || static_cast<double>(*number) < limits.low ||
      static_cast<double>(*number) > limits.high) {
    throw ConfigError(key, text, "must be " + allowed_range(kind, limits));
  }
  return *number;
}

// A number, or a percentage: "0.5%" is 0.005.
std::optional<double> parse_share(std::string_view text) {
  if (!text.ends_with('%'))
    return parse_double(text);
  const std::optional<double> percent = parse_double(text.substr(0, text.size() - 1));
  return percent ? std::optional(*percent / 100) : std::nullopt;
}

std::string checked_choice(std::string_view key, std::string_view text, const FieldLimits& limits) {
  const auto& choices = limits.choices;
  if (!choices.empty() && std::find(choices.begin(), choices.end(), text) == choices.end()) {
    throw ConfigError(key, text, fmt::format("must be one of {}", fmt::join(choices, ", ")));
  }
  return std::string(text);
}

bool checked_bool(std::string_view key, std::string_view text) {
  if (text == "true" || text == "yes" || text == "on" || text == "1")
    return true;
  if (text == "false" || text == "no" || text == "off" || text == "0")
    return false;
  throw ConfigError(key, text, "must be true or false");
}

void flatten_into(const Json& object, const std::string& prefix,
                  std::vector<std::pair<std::string, Json>>& out) {
  for (const auto& [name, value] : object.items()) {
    const std::string path = prefix.empty() ? name : prefix + "." + name;
    if (value.is_object()) {
      flatten_into(value, path, out);
    } else {
      out.emplace_back(path, value);
    }
  }
}

}  // namespace

FieldValue parse_field_text(std::string_view key, std::string_view text, const FieldValue& like,
                            const FieldLimits& limits) {
  return std::visit(
      Overloaded{
          [&](const std::string&) { return FieldValue(checked_choice(key, text, limits)); },
          [&](std::int64_t) {
            return FieldValue(checked_number(key, text, parse_int(text), limits, "a whole number"));
          },
          [&](std::uint64_t) {
            return FieldValue(
                checked_number(key, text, parse_uint(text), limits, "a non-negative whole number"));
          },
          [&](double) {
            return FieldValue(checked_number(key, text, parse_share(text), limits, "a number"));
          },
          [&](bool) { return FieldValue(checked_bool(key, text)); },
          [&](const std::vector<std::string>&) {
            std::vector<std::string> items;
            for (const std::string& item : split(text, ',')) {
              items.push_back(checked_choice(key, strip_ascii_space(item), limits));
            }
            return FieldValue(std::move(items));
          }},
      like);
}

FieldValue parse_field_json(std::string_view key, const Json& json, const FieldValue& like,
                            const FieldLimits& limits) {
  const bool wants_text = std::holds_alternative<std::string>(like);
  if (std::holds_alternative<std::vector<std::string>>(like) && json.is_array()) {
    std::vector<std::string> items;
    for (const Json& item : json) {
      if (!item.is_string())
        throw ConfigError(key, canonical_json(json), "must be strings");
      items.push_back(checked_choice(key, item.get<std::string>(), limits));
    }
    return items;
  }
  if (json.is_string())
    return parse_field_text(key, json.get<std::string>(), like, limits);
  if (json.is_structured() || json.is_null() || wants_text ||
      json.is_boolean() != std::holds_alternative<bool>(like)) {
    throw ConfigError(key, canonical_json(json),
                      fmt::format("must be like {}", canonical_json(field_json(like))));
  }
  return parse_field_text(key, canonical_json(json), like, limits);
}

Json field_json(const FieldValue& value) {
  return std::visit([](const auto& v) { return Json(v); }, value);
}

std::string field_text(const FieldValue& value) {
  return std::visit(
      Overloaded{
          [](const std::string& v) { return v; }, [](bool v) { return fmt::format("{}", v); },
          [](const std::vector<std::string>& v) { return fmt::format("{}", fmt::join(v, ",")); },
          [](auto number) { return fmt::format("{}", number); }},
      value);
}

std::string field_flag(std::string_view key) {
  const auto last_part = [](std::string_view dotted) {
    const auto dot = dotted.rfind('.');
    return dot == std::string_view::npos ? dotted : dotted.substr(dot + 1);
  };
  std::string flag(last_part(key));
  if (flag == "name" && key.size() > flag.size())
    flag = last_part(key.substr(0, key.size() - flag.size() - 1));
  std::replace(flag.begin(), flag.end(), '_', '-');
  return flag;
}

void put_at_path(Json& object, std::string_view key, Json value) {
  Json* at = &object;
  for (const std::string& part : split(key, '.')) at = &(*at)[part];
  *at = std::move(value);
}

std::vector<std::pair<std::string, Json>> flatten(const Json& object) {
  std::vector<std::pair<std::string, Json>> out;
  flatten_into(object, "", out);
  return out;
}

}  // namespace dlm
