// `repro`: a paper's tables against the store.
#include "results/repro.h"

#include <algorithm>
#include <cstdio>
#include <string>

#include "harness/base/error.h"
#include "harness/base/file.h"
#include "harness/base/log.h"
#include "harness/commands/command.h"
#include "harness/commands/store_options.h"

namespace dlm {

int repro_command(const Arguments& args) {
  CommandOptions cli(
      "repro PAPER.toml [options]",
      "Every cell of a paper's tables: claimed, ours with its standard error, z, and "
      "whether they agree within the\n"
      "tolerance of the cell; for a cell that was not run, what it needs. "
      "results/papers holds BD3-LM, ADJUST and\n"
      "Fast-dLLM. Exit code 0: all that was run holds; 3: a cell is off; 5: nothing "
      "was run.\n\n"
      "  dlmbench repro results/papers/bd3lm.toml --table 4\n"
      "  dlmbench repro results/papers/bd3lm.toml --missing");
  add_store_options(cli);
  cli.value("table", "only this table of the paper")
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
  const auto store = open_store_read_only(*options);
  const auto results = reproduce(*store, paper, options->get("table", ""));
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
  if (off > 0)
    return kExitWorse;
  return holds > 0 ? kExitOk : kExitNothing;
}

}  // namespace dlm
