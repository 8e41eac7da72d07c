// The commands that read the store: `list`, `show`, `export`, `sql`.
#include <cstdio>
#include <string>
#include <vector>

#include "harness/base/error.h"
#include "harness/base/file.h"
#include "harness/base/text.h"
#include "harness/commands/command.h"
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

RunFilter filter_of(const ParsedOptions& options) {
  RunFilter filter;
  filter.model = options.get("model", "");
  filter.task = options.get("task", "");
  filter.status = options.get("status", "");
  filter.superseded = options.has("all");
  const auto limit = parse_int(options.get("limit", "0"));
  if (!limit || *limit < 0)
    throw ConfigError("limit", options.get("limit", ""), "must be a whole number from 0");
  filter.limit = *limit;
  return filter;
}

void add_filter_options(CommandOptions& cli) {
  cli.value("model", "only runs of this model's name")
      .value("task", "only runs of this task's name")
      .value("status", "only running, done, failed or partial ones")
      .value("limit,n", "only the latest N")
      .flag("all", "also runs that were measured anew since");
}

// The runs named by (the beginnings of) their ids, or those that the filter selects.
std::vector<std::string> chosen_runs(Store& store, const ParsedOptions& options) {
  if (options.positionals.empty())
    return select_runs(store, filter_of(options));
  std::vector<std::string> ids;
  for (const std::string& prefix : options.positionals) ids.push_back(store.resolve_run(prefix));
  return ids;
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

int export_command(const Arguments& args) {
  CommandOptions cli(
      "export [RUN...] [options]",
      "Stored rows at full precision: examples (one row a document), metrics or runs.\n\n"
      "  dlmbench export 0193a4 -o csv > rows.csv\n  dlmbench export --what metrics -o jsonl --to "
      "metrics.jsonl");
  add_store_options(cli);
  add_filter_options(cli);
  cli.value("what", "examples (default), metrics or runs")
      .value("to", "a new file instead of stdout")
      .positionals(100000);
  const auto options = cli.parse(args);
  if (!options)
    return kExitOk;
  if (!options->has("output"))
    throw ConfigError("output", "", "is needed: csv or jsonl, say");
  const std::string format = format_of(*options);
  const auto store = open_store_read_only(*options);
  const auto ids = chosen_runs(*store, *options);
  const std::string text =
      render(export_rows(*store, ids, options->get("what", "examples")), format);
  const std::string path = options->get("to", "");
  if (path.empty()) {
    print(text);
    return kExitOk;
  }
  if (file_exists(path))
    throw ConfigError("to", path, "exists; name a new file");
  write_file_atomically(path, text);
  return kExitOk;
}

int sql_command(const Arguments& args) {
  CommandOptions cli(
      "sql 'SELECT ...'",
      "A query on the store, which is not changed. Tables and views: run, sample, metric, config, "
      "model, task,\n"
      "v_run (runs with their names), v_config (a column for every setting), v_speed, v_pair.\n\n"
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
