// The page that tells a reader what was measured: one HTML file that needs nothing else.
#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "results/store.h"

namespace dlm {

struct ReportOptions {
  std::string title = "dlmbench report";
  std::int64_t samples = 6;            // documents whose texts are shown side by side
  std::int64_t longest_sample = 4000;  // bytes of a text that are shown
  std::int64_t most_comparisons = 12;  // runs that are compared with the first of their task
};

struct ReportPage {
  std::string html;
  std::string problem;  // why there are no plots; empty where there are
};

// What ran where, the estimates with their intervals in sortable tables, how each run differs from
// the first of its task, plots as inline SVG, generated texts side by side, every setting, and the
// commands that repeat the runs. Self-contained: no address is ever fetched, and the page's content
// policy forbids it and any script but its own; text of models, tasks and settings is escaped.
// Throws ConfigError where `run_ids` is empty.
ReportPage html_report(Store& store, std::span<const std::string> run_ids,
                       const ReportOptions& options);

}  // namespace dlm
