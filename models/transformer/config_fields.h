// Fields of a config.json as a network needs them.
#pragma once

#include <cstdint>
#include <string_view>

#include "harness/base/json.h"

namespace dlm {

// An integer in [1, 2^31). Throws DataError naming the key.
std::int64_t size_field(const Json& config, const char* key, std::string_view where);
std::int64_t size_field_or(const Json& config, const char* key, std::int64_t fallback,
                           std::string_view where);

// A number above 0.
double positive_field_or(const Json& config, const char* key, double fallback,
                         std::string_view where);

// A token id, or the first of a list of them; -1 where it is missing or null.
std::int64_t token_id_field(const Json& config, const char* key, std::string_view where);

// Throws ConfigError where a true `key` asks for what is not supported.
void refuse_true(const Json& config, const char* key, std::string_view where);

// `whole` / `parts`. Throws DataError naming both keys where it leaves a remainder.
struct NamedSize {
  const char* key;
  std::int64_t value;
};

std::int64_t divided(const NamedSize& whole, const NamedSize& parts, std::string_view where);

}  // namespace dlm
