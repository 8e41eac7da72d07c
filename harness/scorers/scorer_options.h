// What the scorers of text share on the command line.
#pragma once

#include <cstdint>
#include <string>

#include "harness/base/spec.h"
#include "harness/cli.h"

namespace dlm {

// A whole number of at least `least`; `fallback` where the option was not given. Throws
// ConfigError.
std::int64_t whole_option(const ParsedOptions& options, const std::string& name,
                          std::int64_t fallback, std::int64_t least);

// The same for a number; no bound of its own.
double number_option(const ParsedOptions& options, const std::string& name, double fallback);

// The option's text; ConfigError saying that it `is needed` where it was not given.
std::string needed_option(const ParsedOptions& options, const std::string& name,
                          const std::string& what);

}  // namespace dlm
