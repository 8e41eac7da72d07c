#include "harness/commands/run_choice.h"

#include <array>

#include "harness/base/error.h"
#include "harness/base/text.h"

namespace dlm {

void add_filter_options(CommandOptions& cli) {
  cli.value("model",
            "only runs of this model: its name, as typed for the run, or a pattern ('gpt2*')")
      .value("task", "only runs of this task, alike")
      .value("status", "only running, done, failed or partial ones")
      .value("limit,n", "only the latest N")
      .flag("all", "also runs that were measured anew since");
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

std::string named_run(Store& store, const std::string& name) {
  const std::array<Cell, 1> parameters = {name};
  const Table tagged = store.query("SELECT run_id FROM tag WHERE name=?", parameters);
  if (!tagged.rows.empty())
    return std::get<std::string>(tagged.rows[0][0].value);
  return store.resolve_run(name);
}

std::vector<std::string> chosen_runs(Store& store, const ParsedOptions& options) {
  if (options.positionals.empty())
    return select_runs(store, filter_of(options));
  std::vector<std::string> ids;
  for (const std::string& name : options.positionals) ids.push_back(named_run(store, name));
  return ids;
}

}  // namespace dlm
