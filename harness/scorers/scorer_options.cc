#include "harness/scorers/scorer_options.h"

#include "harness/base/error.h"
#include "harness/base/text.h"

namespace dlm {

std::int64_t whole_option(const ParsedOptions& options, const std::string& name,
                          std::int64_t fallback, std::int64_t least) {
  if (!options.has(name))
    return fallback;
  const auto value = parse_int(options.get(name, ""));
  if (!value || *value < least) {
    throw ConfigError(name, options.get(name, ""),
                      fmt::format("must be a whole number of at least {}", least));
  }
  return *value;
}

double number_option(const ParsedOptions& options, const std::string& name, double fallback) {
  if (!options.has(name))
    return fallback;
  const auto value = parse_double(options.get(name, ""));
  if (!value)
    throw ConfigError(name, options.get(name, ""), "must be a number");
  return *value;
}

std::string needed_option(const ParsedOptions& options, const std::string& name,
                          const std::string& what) {
  if (!options.has(name))
    throw ConfigError(name, "", "is needed: " + what);
  return options.get(name, "");
}

}  // namespace dlm
