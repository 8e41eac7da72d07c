// TOML in: the one place that knows the parser. Files of settings and task definitions.
#pragma once

#include <string>
#include <string_view>

#include "harness/base/json.h"

namespace dlm {

// A TOML document as JSON; tables become objects. Throws ConfigError with `source` and the line for
// bad syntax and for a date or time, which no file of ours has a use for.
Json parse_toml(std::string_view text, const std::string& source);

}  // namespace dlm
