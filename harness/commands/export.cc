// `export`: stored runs as files that other programs read.
#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <string>
#include <vector>

#include "harness/base/error.h"
#include "harness/base/file.h"
#include "harness/base/log.h"
#include "harness/commands/command.h"
#include "harness/commands/run_choice.h"
#include "harness/commands/store_options.h"
#include "results/export_formats.h"
#include "results/report.h"

namespace dlm {
namespace {

constexpr const char* kText =
    "Stored runs for other programs. --what examples (one row a document, the default), metrics or "
    "runs: at full precision\n"
    "in the form that -o names. --what latex: a booktabs table with bold only where the best "
    "differs significantly from\n"
    "every other. --what lm-eval: results and sample files of lm-evaluation-harness, into the "
    "folder --to. --what\n"
    "google-benchmark: JSON for its compare.py.\n\n"
    "  dlmbench export 0193a4 -o csv > rows.csv\n"
    "  dlmbench export --what metrics -o jsonl --to metrics.jsonl\n"
    "  dlmbench export 0193a4 0193a7 --what latex\n"
    "  dlmbench export --what lm-eval --to lm-eval-results";

void write_folder(const std::string& folder, const std::vector<ExportedFile>& files) {
  if (folder.empty())
    throw ConfigError("to", "", "names the folder that the files go to");
  for (const ExportedFile& file : files) {
    const std::filesystem::path path = std::filesystem::path(folder) / file.path;
    if (file_exists(path.string()))
      throw ConfigError("to", path.string(), "exists; name a new folder");
  }
  for (const ExportedFile& file : files) {
    const std::filesystem::path path = std::filesystem::path(folder) / file.path;
    std::error_code failed;
    std::filesystem::create_directories(path.parent_path(), failed);
    if (failed)
      throw DataError(path.parent_path().string(), -1, "a folder that can be made",
                      failed.message());
    write_file_atomically(path.string(), file.content);
    log_info("wrote {}", path.string());
  }
}

std::string exported_text(Store& store, const std::vector<std::string>& ids,
                          const ParsedOptions& options) {
  const std::string what = options.get("what", "examples");
  if (what == "latex")
    return export_latex(store, ids);
  if (what == "google-benchmark")
    return export_google_benchmark(store, ids);
  if (!options.has("output"))
    throw ConfigError("output", "",
                      fmt::format("is needed with --what {}: csv or jsonl, say", what));
  return render(export_rows(store, ids, what), options.get("output", ""));
}

void check_what(const std::string& what) {
  static const std::vector<std::string> kKinds = {"examples", "metrics", "runs",
                                                  "latex",    "lm-eval", "google-benchmark"};
  if (std::find(kKinds.begin(), kKinds.end(), what) == kKinds.end())
    throw unknown_name("export", what, kKinds);
}

// The form of what other programs define is theirs.
void check_form(const ParsedOptions& options, const std::string& what) {
  static const std::vector<std::string> kTables = {"examples", "metrics", "runs"};
  if (options.has("output") && std::find(kTables.begin(), kTables.end(), what) == kTables.end())
    throw ConfigError("output", options.get("output", ""),
                      fmt::format("is read with --what {}; {} has a form of its own",
                                  fmt::join(kTables, ", "), what));
  check_output_format(options);
}

}  // namespace

int export_command(const Arguments& args) {
  CommandOptions cli("export [RUN...] [options]", kText);
  add_db_option(cli);
  add_filter_options(cli);
  cli.value("what", "examples (default), metrics, runs, latex, lm-eval or google-benchmark")
      .value("output,o", fmt::format("{}: needed for examples, metrics and runs",
                                     fmt::join(table_formats(), ", ")))
      .value("to", "a new file (lm-eval: a folder) instead of stdout")
      .positionals(100000);
  const auto options = cli.parse(args);
  if (!options)
    return kExitOk;
  const std::string what = options->get("what", "examples");
  check_what(what);
  check_form(*options, what);
  const auto store = open_store_read_only(*options);
  const auto ids = chosen_runs(*store, *options);
  const std::string path = options->get("to", "");
  if (what == "lm-eval") {
    write_folder(path, export_lm_eval(*store, ids));
    return kExitOk;
  }
  const std::string text = exported_text(*store, ids, *options);
  if (path.empty()) {
    std::fwrite(text.data(), 1, text.size(), stdout);
    return kExitOk;
  }
  if (file_exists(path))
    throw ConfigError("to", path, "exists; name a new file");
  write_file_atomically(path, text);
  return kExitOk;
}

}  // namespace dlm
