// `merge`: the stores of several machines as one.
#include "results/merge.h"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <string>

#include "harness/base/error.h"
#include "harness/base/log.h"
#include "harness/commands/command.h"
#include "harness/commands/store_options.h"
#include "results/store.h"

namespace dlm {
namespace {

void warn_of_tags(Database& target, const std::string& source) {
  for (const TagDifference& tag : differing_tags(target, source)) {
    const std::string kept = tag.in_target == tag.in_both
                                 ? fmt::format("{} of the {} runs that it names in {}", tag.in_both,
                                               tag.in_source, source)
                                 : fmt::format("the {} that it named here, not the {} of {}",
                                               tag.in_target, tag.in_source, source);
    log_warning(fmt::format("tag '{}' names {}; `dlmbench tag {} RUN... --db {}` changes that",
                            tag.name, kept, tag.name, target.path()));
  }
}

}  // namespace

int merge_command(const Arguments& args) {
  CommandOptions cli(
      "merge SHARD.db... --db ALL.db",
      "Copies the finished runs of other stores into one, made where it does not "
      "exist. Each store comes in whole or\n"
      "not at all, and doing it again adds nothing. A tag that the target has keeps its "
      "runs there. Exit code 4\n"
      "where two stores disagree about a run.\n\n"
      "  dlmbench merge node-*.db --db all.db");
  add_store_options(cli);
  cli.positionals(10000);
  const auto options = cli.parse(args);
  if (!options)
    return kExitOk;
  check_output_format(*options);
  if (options->positionals.empty())
    throw ConfigError("merge", "",
                      "names the stores to bring in: dlmbench merge A.db B.db --db ALL.db");
  for (const std::string& source : options->positionals)
    open_store_read_only(source);  // refuses a bad one before anything is written
  open_store(*options);
  Database target(store_path(*options), Database::Mode::kReadWrite, std::chrono::seconds(30));
  target.execute("PRAGMA foreign_keys=ON; PRAGMA synchronous=NORMAL; PRAGMA cache_size=-65536");
  std::vector<MergedRun> all;
  for (const std::string& source : options->positionals) {
    for (MergedRun& run : merge_store(target, source)) all.push_back(std::move(run));
    warn_of_tags(target, source);
  }
  fmt::print("{}", render(merge_table(all), options->get("output", "md")));
  const auto conflicts = std::count_if(all.begin(), all.end(), [](const MergedRun& run) {
    return run.outcome == MergeOutcome::kConflict;
  });
  if (conflicts > 0)
    log_warning(fmt::format("{} runs were not merged: the stores disagree", conflicts));
  return conflicts > 0 ? kExitAmbiguous : kExitOk;
}

}  // namespace dlm
