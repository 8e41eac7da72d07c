// Pieces of a template to its syntax tree.
#pragma once

#include <string_view>
#include <vector>

#include "tasks/jinja/lexer.h"
#include "tasks/jinja/syntax.h"

namespace dlm::jinja {

// `name` says in errors which template it is. Throws ConfigError (template_error).
Nodes parse(std::vector<Piece> pieces, std::string_view name);

}  // namespace dlm::jinja
