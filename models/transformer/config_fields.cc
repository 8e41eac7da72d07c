#include "models/transformer/config_fields.h"

#include <string>

#include <nlohmann/json.hpp>

#include "harness/base/error.h"

namespace dlm {
namespace {

std::int64_t checked_size(std::int64_t value, const char* key, std::string_view where) {
  if (value < 1 || value > INT32_MAX)
    throw DataError(where, -1, fmt::format("'{}' from 1 to 2^31 - 1", key), std::to_string(value));
  return value;
}

}  // namespace

std::int64_t size_field(const Json& config, const char* key, std::string_view where) {
  return checked_size(json_int(config, key, where), key, where);
}

std::int64_t size_field_or(const Json& config, const char* key, std::int64_t fallback,
                           std::string_view where) {
  return checked_size(json_int_or(config, key, fallback, where), key, where);
}

double positive_field_or(const Json& config, const char* key, double fallback,
                         std::string_view where) {
  const double value = json_double_or(config, key, fallback, where);
  if (!(value > 0))
    throw DataError(where, -1, fmt::format("'{}' above 0", key), fmt::format("{}", value));
  return value;
}

std::int64_t token_id_field(const Json& config, const char* key, std::string_view where) {
  const auto it = config.find(key);
  if (it == config.end() || !it->is_array())
    return json_int_or(config, key, -1, where);
  if (it->empty() || !it->front().is_number_integer())
    throw DataError(where, -1, fmt::format("token ids in '{}'", key), it->dump());
  return it->front().get<std::int64_t>();
}

void refuse_true(const Json& config, const char* key, std::string_view where) {
  if (json_bool_or(config, key, false, where))
    throw ConfigError(fmt::format("{}: {}", where, key), "true", "false; true is not supported");
}

std::int64_t divided(const NamedSize& whole, const NamedSize& parts, std::string_view where) {
  if (whole.value % parts.value != 0) {
    throw DataError(where, -1, fmt::format("'{}' divisible by '{}'", whole.key, parts.key),
                    fmt::format("{} and {}", whole.value, parts.value));
  }
  return whole.value / parts.value;
}

}  // namespace dlm
