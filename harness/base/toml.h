// TOML as JSON, so that one set of accessors reads both.
#pragma once

#include <string>
#include <string_view>

#include "harness/base/json.h"

namespace dlm {

// Throws ConfigError with `source` and the line for bad TOML, and for dates and times, which no
// file of ours has a use for.
Json parse_toml(std::string_view text, const std::string& source);

}  // namespace dlm
