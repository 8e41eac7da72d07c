// The commands that read the store: `list`, `show`, `sql`.
#include <cstdio>
#include <string>
#include <vector>

#include "harness/base/error.h"
#include "harness/commands/command.h"
#include "harness/commands/run_choice.h"
#include "harness/commands/store_options.h"
#include "results/report.h"

namespace dlm {
namespace {

std::string format_of(const ParsedOptions& options) {
  check_output_format(options);
  return options.get("output", "md");
}

void print(const std::string& text) {
  std::fwrite(text.data(), 1, text.size(), stdout);
}

}  // namespace

int list_command(const Arguments& args) {
  CommandOptions cli("list [options]",
                     "The stored runs, oldest first.\n\n  dlmbench list --task wikitext2 -n 10");
  add_store_options(cli);
  add_filter_options(cli);
  const auto options = cli.parse(args);
  if (!options)
    return kExitOk;
  const std::string format = format_of(*options);
  print(render(runs_table(*open_store_read_only(*options), filter_of(*options)), format));
  return kExitOk;
}

int show_command(const Arguments& args) {
  CommandOptions cli("show [RUN...]",
                     "Settings, results and cost of runs, named by the beginning of their id; "
                     "without a name the latest.\n\n"
                     "  dlmbench show 0193a4\n  dlmbench show -o json > run.json");
  add_store_options(cli);
  cli.positionals(1000);
  const auto options = cli.parse(args);
  if (!options)
    return kExitOk;
  const std::string format = format_of(*options);
  const auto store = open_store_read_only(*options);
  std::vector<std::string> ids = chosen_runs(*store, *options);
  if (ids.empty())
    throw ConfigError("run", "", "the store has no run");
  if (options->positionals.empty())
    ids = {ids.back()};
  for (const std::string& id : ids) print(render(show_tables(*store, id), format));
  return kExitOk;
}

int sql_command(const Arguments& args) {
  CommandOptions cli(
      "sql 'SELECT ...'",
      "A query on the store, which is not changed. Tables and views: run, sample, metric, config, "
      "model, task,\n"
      "blob, curve, reveal, gate; v_result (every estimate with its names), v_run, v_config (a "
      "column for every\n"
      "setting), v_speed, v_pair, v_curve, v_gate.\n\n"
      "  dlmbench sql \"select model, task, value from v_run join metric using(run_id) where "
      "metric='nll'\"");
  add_store_options(cli);
  cli.positionals(1);
  const auto options = cli.parse(args);
  if (!options)
    return kExitOk;
  if (options->positionals.empty())
    throw ConfigError("query", "", "is needed: dlmbench sql 'SELECT ...'");
  const std::string format = format_of(*options);
  print(render(open_store_read_only(*options)->query(options->positionals.front()), format));
  return kExitOk;
}

}  // namespace dlm
