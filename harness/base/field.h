// One declaration per setting. A FieldTable row gives the command-line option, the TOML and JSON
// key, the line of
// --help, the column of the store's v_config view, and whether the setting is part of a run's
// identity.
#pragma once

#include <cstdint>
#include <limits>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include <nlohmann/json.hpp>

#include "harness/base/error.h"
#include "harness/base/json.h"

namespace dlm {

enum class Identity {
  kPart,
  kNot
};  // whether a setting can change a result, and so belongs to the run key

// What a value may be. Bounds are inclusive and apply to numbers; `choices` applies to strings.
struct FieldLimits {
  double low = -std::numeric_limits<double>::infinity();
  double high = std::numeric_limits<double>::infinity();
  std::vector<std::string> choices;
};

// For tables of settings.
namespace limits {

inline FieldLimits any() {
  return {};
}

inline FieldLimits range(double low, double high = std::numeric_limits<double>::infinity()) {
  return {low, high, {}};
}

inline FieldLimits one_of(std::vector<std::string> choices) {
  FieldLimits limits;
  limits.choices = std::move(choices);
  return limits;
}

}  // namespace limits

// A value of any setting, detached from its struct.
using FieldValue =
    std::variant<std::string, std::int64_t, std::uint64_t, double, bool, std::vector<std::string>>;

// Text or JSON as a value of the type that `like` holds, within `limits`. Throws ConfigError naming
// `key`.
FieldValue parse_field_text(std::string_view key, std::string_view text, const FieldValue& like,
                            const FieldLimits& limits);
FieldValue parse_field_json(std::string_view key, const Json& json, const FieldValue& like,
                            const FieldLimits& limits);
Json field_json(const FieldValue& value);
std::string field_text(const FieldValue& value);  // as the command line would give it

// "sampler.top_k" -> "top-k"; a part called "name" has the option of what it names: "sampler.name"
// -> "sampler".
std::string field_flag(std::string_view key);

// Puts `value` at the dotted path `key` of `object`.
void put_at_path(Json& object, std::string_view key, Json value);

// Every leaf of a nested object (arrays count as leaves) as dotted path -> value, in key order.
std::vector<std::pair<std::string, Json>> flatten(const Json& object);

template <class Spec>
struct Field {
  template <class T>
  using Access = T& (*)(Spec&);
  using AnyAccess = std::variant<Access<std::string>, Access<std::int64_t>, Access<std::uint64_t>,
                                 Access<double>, Access<bool>, Access<std::vector<std::string>>>;

  std::string key;    // dotted path; its last part with dashes is the option
  char short_option;  // or 0
  std::string help;
  AnyAccess access;
  FieldLimits limits;
  Identity identity;

  FieldValue get(const Spec& spec) const {
    // The accessors only name the member; nothing is written through them here.
    auto& mutable_spec = const_cast<Spec&>(spec);
    return std::visit([&](auto member) { return FieldValue(member(mutable_spec)); }, access);
  }

  void set(Spec& spec, FieldValue value) const {
    std::visit(
        [&](auto member) {
          using T = std::remove_reference_t<decltype(member(spec))>;
          member(spec) = std::get<T>(std::move(value));
        },
        access);
  }
};

template <class Spec>
class FieldTable {
 public:
  explicit FieldTable(std::vector<Field<Spec>> fields) : fields_(std::move(fields)) {}

  const std::vector<Field<Spec>>& fields() const { return fields_; }

  std::vector<std::string> keys() const {
    std::vector<std::string> keys;
    for (const auto& field : fields_) keys.push_back(field.key);
    return keys;
  }

  // The row of a dotted key or of an option name; null where there is none.
  const Field<Spec>* find(std::string_view name) const {
    for (const auto& field : fields_) {
      if (field.key == name || field_flag(field.key) == name)
        return &field;
    }
    return nullptr;
  }

  // The row of a name that is known to be one.
  const Field<Spec>& at(std::string_view name) const {
    const Field<Spec>* field = find(name);
    DLM_CHECK(field != nullptr, "no setting {}", name);
    return *field;
  }

  void set_text(Spec& spec, const Field<Spec>& field, std::string_view text) const {
    field.set(spec, parse_field_text(field.key, text, field.get(spec), field.limits));
  }

  void set_json(Spec& spec, const Field<Spec>& field, const Json& json) const {
    field.set(spec, parse_field_json(field.key, json, field.get(spec), field.limits));
  }

  Json to_json(const Spec& spec, bool identity_only) const {
    Json object;
    for (const auto& field : fields_) {
      if (identity_only && field.identity == Identity::kNot)
        continue;
      put_at_path(object, field.key, field_json(field.get(spec)));
    }
    return object;
  }

 private:
  std::vector<Field<Spec>> fields_;
};

}  // namespace dlm
