#include "harness/commands/run_choice.h"

#include <algorithm>
#include <array>
#include <utility>

#include "harness/base/error.h"
#include "harness/base/text.h"

namespace dlm {
namespace {

// The runs of a tag, oldest first; none where it is no tag.
std::vector<std::string> tagged_runs(Store& store, const std::string& name) {
  const std::array<Cell, 1> parameters = {name};
  std::vector<std::string> ids;
  store.scan("SELECT run_id FROM tag WHERE name=? ORDER BY run_id", parameters,
             [&](const Statement& row) { ids.push_back(row.text(0)); });
  return ids;
}

// Runs are named or filtered: a filter beside names would change nothing.
void refuse_filters(const ParsedOptions& options) {
  for (const char* name : {"model", "task", "status", "limit", "all"}) {
    if (!options.has(name))
      continue;
    const auto given = options.all(name);
    throw ConfigError(name, given.empty() ? "" : given.back(),
                      fmt::format("chooses among all runs, and '{}' names one; leave out one of "
                                  "the two",
                                  options.positionals.front()));
  }
}

}  // namespace

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
  const std::vector<std::string> tagged = tagged_runs(store, name);
  if (tagged.size() > 1)
    throw ConfigError("run", name,
                      fmt::format("one run is needed, and this tag names {}: {}", tagged.size(),
                                  fmt::join(tagged, ", ")));
  return tagged.empty() ? store.resolve_run(name) : tagged.front();
}

std::vector<std::string> chosen_runs(Store& store, const ParsedOptions& options) {
  if (options.positionals.empty())
    return select_runs(store, filter_of(options));
  refuse_filters(options);
  std::vector<std::string> ids;
  for (const std::string& name : options.positionals) {
    std::vector<std::string> named = tagged_runs(store, name);
    if (named.empty())
      named = {store.resolve_run(name)};
    for (std::string& id : named) {
      if (std::find(ids.begin(), ids.end(), id) == ids.end())
        ids.push_back(std::move(id));
    }
  }
  return ids;
}

}  // namespace dlm
