// `data`: the named data sets.
#include <algorithm>
#include <cstdio>
#include <string>

#include "harness/base/error.h"
#include "harness/base/file.h"
#include "harness/cli.h"
#include "harness/commands/command.h"
#include "harness/commands/store_options.h"
#include "harness/data_root.h"
#include "results/table.h"
#include "tasks/datasets.h"

namespace dlm {
namespace {

constexpr const char* kText =
    "Lists the named data sets: what each is, whether its file lies below DLMBENCH_DATA and is "
    "intact, its licence, where\n"
    "it comes from, its SHA-256.\n\n"
    "  dlmbench data list\n  DLMBENCH_DATA=/data dlmbench data list -o csv";

std::string state_of(const NamedDataset& set) {
  const std::string path = data_root() + "/" + set.path;
  if (!file_exists(path))
    return "absent";
  return sha256_hex_of_file(path) == set.sha256 ? "intact" : "changed";
}

}  // namespace

int data_command(const Arguments& args) {
  CommandOptions cli("data list", kText);
  cli.value("output,o", fmt::format("{} (default md)", fmt::join(table_formats(), ", ")))
      .positionals(1);
  const auto options = cli.parse(args);
  if (!options)
    return kExitOk;
  check_output_format(*options);
  if (options->positionals.empty() || options->positionals.front() != "list") {
    throw ConfigError("data", options->positionals.empty() ? "" : options->positionals.front(),
                      "write `dlmbench data list`");
  }
  Table table;
  for (const char* name : {"name", "state", "about", "licence", "path", "source", "sha256"}) {
    table.columns.push_back({name, "", Align::kLeft, Audience::kAll});
  }
  for (const NamedDataset& set : named_datasets()) {
    table.rows.push_back(
        {set.name, state_of(set), set.about, set.licence, set.path, set.source, set.sha256});
  }
  fmt::print("{}", render(table, options->get("output", "md")));
  return kExitOk;
}

}  // namespace dlm
