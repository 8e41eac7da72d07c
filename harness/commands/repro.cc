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
#include "harness/base/text.h"
#include "harness/commands/child_program.h"
#include "harness/commands/command.h"
#include "harness/commands/store_options.h"

namespace dlm {
namespace {

// The arguments of a cell's command; none where it is not one `dlmbench run`.
Arguments run_arguments(const std::string& command) {
  Arguments words;
  for (std::string& word : split(command, ' ')) {
    if (!word.empty())
      words.push_back(std::move(word));
  }
  const bool is_run = words.size() > 2 && words[0] == "dlmbench" && words[1] == "run" &&
                      std::find(words.begin(), words.end(), "#") == words.end();
  return is_run ? Arguments(words.begin() + 1, words.end()) : Arguments{};
}

// Measures the cells that were not run, each run once. How many runs failed.
std::int64_t run_missing(const Paper& paper, const ParsedOptions& options) {
  std::vector<Arguments> runs;
  {
    const auto store = open_store(options);
    const Table missing = missing_table(reproduce(*store, paper, options.get("table", "")));
    for (const auto& row : missing.rows) {
      if (auto arguments = run_arguments(std::get<std::string>(row[0].value)); !arguments.empty())
        runs.push_back(std::move(arguments));
    }
  }
  std::int64_t failed = 0;
  for (std::size_t i = 0; i < runs.size(); ++i) {
    log_info("{} of {}: dlmbench {}", i + 1, runs.size(), fmt::join(runs[i], " "));
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
      "tolerance of the cell; for a cell that was not run, what it needs. "
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
