// `repro`: a paper's tables against the store.
#include "results/repro.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "harness/base/error.h"
#include "harness/base/file.h"
#include "harness/base/log.h"
#include "harness/cli.h"
#include "harness/commands/child_program.h"
#include "harness/commands/command.h"
#include "harness/commands/store_options.h"
#include "harness/known_metrics.h"

namespace dlm {
namespace {

// The arguments of the cells that were not run and whose command is one `dlmbench run`, each once.
std::vector<Arguments> runs_of(const std::vector<CellResult>& results) {
  std::vector<Arguments> runs;
  for (const CellResult& result : results) {
    if (result.verdict != CellVerdict::kNotRun || !result.cell.asked.run)
      continue;
    const Arguments words = command_words(result.cell.command, "command");
    Arguments arguments(words.begin() + 1, words.end());
    if (std::find(runs.begin(), runs.end(), arguments) == runs.end())
      runs.push_back(std::move(arguments));
  }
  return runs;
}

// Measures the cells that were not run, each run once. How many runs failed.
std::int64_t run_missing(const Paper& paper, const ParsedOptions& options) {
  std::vector<Arguments> runs;
  {
    const auto store = open_store(options);
    runs = runs_of(reproduce(*store, paper, options.get("table", "")));
  }
  std::int64_t failed = 0;
  for (std::size_t i = 0; i < runs.size(); ++i) {
    log_info("{} of {}: {}", i + 1, runs.size(),
             command_line("run", Arguments(runs[i].begin() + 1, runs[i].end())));
    std::vector<std::string> command = {this_program()};
    command.insert(command.end(), runs[i].begin(), runs[i].end());
    command.insert(command.end(), {"--quiet", "--db", store_path(options)});
    failed += run_to_end(command) == kExitOk ? 0 : 1;
  }
  return failed;
}

// Of the store; where there is none yet, as of one without a run.
std::vector<CellResult> results_of(const Paper& paper, const ParsedOptions& options) {
  const std::string table = options.get("table", "");
  if (file_exists(store_path(options)))
    return reproduce(*open_store_read_only(options), paper, table);
  std::string folder = (std::filesystem::temp_directory_path() / "dlmbench-repro-XXXXXX").string();
  if (::mkdtemp(folder.data()) == nullptr)
    throw DataError(folder, -1, "a temporary folder", "none");
  const std::shared_ptr<void> removed(nullptr, [&folder](void*) {
    std::error_code none;
    std::filesystem::remove_all(folder, none);
  });
  return reproduce(*open_store(folder + "/none.db"), paper, table);
}

}  // namespace

int repro_command(const Arguments& args) {
  CommandOptions cli(
      "repro PAPER.toml [options]",
      "Every cell of a paper's tables: claimed, ours with its standard error, z, and "
      "whether they agree within the\n"
      "tolerance of the cell; for a cell that was not run, what it needs. A run counts for a cell "
      "where its settings are\n"
      "those of the cell's command, but for batch size, threads and device. "
      "results/papers holds BD3-LM, ADJUST and\n"
      "Fast-dLLM, and *-small.toml of the models of models/zoo, which run here. Exit code 0: all "
      "that was run holds; 2: a\n"
      "run failed; 3: a cell is off; 5: nothing was run (with --missing, which lists that: 0).\n\n"
      "  dlmbench repro results/papers/bd3lm-small.toml --run\n"
      "  dlmbench repro results/papers/bd3lm.toml --table 4\n"
      "  dlmbench repro results/papers/bd3lm.toml --missing");
  add_store_options(cli);
  cli.value("table", "only this table of the paper")
      .flag("run", "first measure the cells that were not run and whose command is one run")
      .flag("missing", "the commands of the cells that were not run, and what they need")
      .positionals(1);
  const auto options = cli.parse(args);
  if (!options)
    return kExitOk;
  check_output_format(*options);
  if (options->positionals.empty())
    throw ConfigError("repro", "", "needs a paper file: dlmbench repro PAPER.toml");
  const std::string& path = options->positionals.front();
  const Paper paper = parse_paper(MappedFile::open(path)->text(), path);
  for (const PaperCell& cell : paper.cells)
    check_metric_name(cell.metric, fmt::format("{}: table {}: metric", path, cell.table));
  const std::int64_t failed = options->has("run") ? run_missing(paper, *options) : 0;
  const auto results = results_of(paper, *options);
  const bool missing = options->has("missing");
  fmt::print("{}", render(missing ? missing_table(results) : repro_table(results),
                          options->get("output", "md")));
  const auto count = [&](CellVerdict verdict) {
    return std::count_if(results.begin(), results.end(),
                         [verdict](const CellResult& result) { return result.verdict == verdict; });
  };
  const auto holds = count(CellVerdict::kHolds);
  const auto off = count(CellVerdict::kOff);
  log_info("{}: {} cells hold, {} are off, {} were not run", paper.name, holds, off,
           count(CellVerdict::kNotRun));
  if (off > 0 && !missing)
    return kExitWorse;
  if (failed > 0) {
    log_warning(fmt::format("{} runs failed: dlmbench list --status failed", failed));
    return kExitRunFailed;
  }
  if (missing)
    return kExitOk;
  return holds > 0 ? kExitOk : kExitNothing;
}

}  // namespace dlm
