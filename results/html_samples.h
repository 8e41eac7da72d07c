// The part of the page that shows generated texts side by side.
#pragma once

#include <string>
#include <vector>

#include "results/html_report.h"

namespace dlm {

// The id of the page's part on a run.
std::string run_anchor(const std::string& run_id);

// Each group's first documents, the texts of its runs beside each other. Where the order of reveal
// was kept (Store::add_rows), every token is shaded by its pass, and the page's script replays
// the text. Empty where no run of the groups has texts. Throws DataError for damaged texts.
std::string samples_section(Store& store, const std::vector<std::vector<std::string>>& groups,
                            const ReportOptions& options);

}  // namespace dlm
