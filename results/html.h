// Text and tables as HTML. Everything that comes from outside goes through html_text.
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "results/table.h"

namespace dlm {

// Safe between tags and within quoted attributes: & < > " ' as entities, ill-formed UTF-8 and
// control characters other than line ends and tabs as U+FFFD.
std::string html_text(std::string_view text);

// The columns for people, sortable by a click on their names; a cell holds its exact value for the
// sorting. `row_class` names a row's class from its cells; empty: none.
std::string html_table(const Table& table,
                       const std::function<std::string(const std::vector<Cell>&)>& row_class = {});

// "sha256-..." as a Content-Security-Policy names an inline script or style.
std::string csp_hash(std::string_view content);

}  // namespace dlm
