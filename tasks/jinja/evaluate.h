// Runs a parsed template; see jinja.h for the language.
#pragma once

#include <string>
#include <string_view>

#include "tasks/jinja/syntax.h"

namespace dlm::jinja {

enum class Undefined { kError, kEmpty };

// Throws ConfigError (template_error).
std::string evaluate(const Nodes& nodes, const Json& variables, std::string_view name,
                     Undefined undefined);

}  // namespace dlm::jinja
