// `report`: stored runs as one HTML page.
#include <string>

#include "harness/base/error.h"
#include "harness/base/file.h"
#include "harness/base/log.h"
#include "harness/base/text.h"
#include "harness/commands/command.h"
#include "harness/commands/run_choice.h"
#include "harness/commands/store_options.h"
#include "results/html_report.h"

namespace dlm {

int report_command(const Arguments& args) {
  CommandOptions cli("report [RUN...] --to REPORT.html [options]",
                     "One HTML page that needs no network: what ran where, results with intervals, "
                     "differences, plots, samples side\n"
                     "by side, settings, and how to repeat. An existing page is replaced.\n\n"
                     "  dlmbench report --to report.html\n"
                     "  dlmbench report --task gsm8k --title \"GSM8K over K\" --to gsm8k.html");
  add_db_option(cli);
  add_filter_options(cli);
  cli.value("to", "the page (default report.html)")
      .value("title", "its title")
      .value("samples", "documents whose texts are shown side by side (default 6)")
      .positionals(100000);
  const auto options = cli.parse(args);
  if (!options)
    return kExitOk;
  ReportOptions report;
  report.title = options->get("title", report.title);
  const auto samples = parse_int(options->get("samples", "6"));
  if (!samples || *samples < 0)
    throw ConfigError("samples", options->get("samples", ""), "must be a whole number from 0");
  report.samples = *samples;
  const auto store = open_store_read_only(*options);
  const ReportPage page = html_report(*store, chosen_runs(*store, *options), report);
  const std::string path = options->get("to", "report.html");
  write_file_atomically(path, page.html);
  if (!page.problem.empty())
    log_warning("no plots: " + page.problem);
  log_info("wrote {}", path);
  return kExitOk;
}

}  // namespace dlm
