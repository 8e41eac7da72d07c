// `data`: the named data sets, and the data preparations of published tables.
#include <algorithm>
#include <cstdio>
#include <set>
#include <string>

#include "harness/base/error.h"
#include "harness/base/file.h"
#include "harness/cli.h"
#include "harness/commands/command.h"
#include "harness/commands/store_options.h"
#include "harness/data_root.h"
#include "results/table.h"
#include "tasks/datasets.h"
#include "tasks/definition.h"
#include "tasks/presets.h"

namespace dlm {
namespace {

constexpr const char* kText =
    "list: the named data sets: what each is, whether its file lies below DLMBENCH_DATA and is "
    "intact, its licence, where\n"
    "it comes from, its SHA-256. presets: how the data of published tables was prepared, as the "
    "settings that\n"
    "`run --preset NAME` makes.\n\n"
    "  dlmbench data list\n  DLMBENCH_DATA=/data dlmbench data list -o csv\n"
    "  dlmbench data presets";

std::string state_of(const std::string& below_root, const std::string& sha256) {
  const std::string path = data_root() + "/" + below_root;
  if (!file_exists(path))
    return "absent";
  if (sha256.empty())
    return "present";  // judged when a prompt is made, by what stands in it
  return sha256_hex_of_file(path) == sha256 ? "intact" : "changed";
}

// The files of the tasks with answers, each once, by the first task that needs it.
void add_task_files(Table& table) {
  std::set<std::string> seen;
  for (const TaskDefinition& task : task_definitions()) {
    const TaskData& data = task.data;
    if (seen.insert(data.path).second) {
      table.rows.push_back({task.id, state_of(data.path, data.sha256), task.about, data.licence,
                            data.path, data.source, data.sha256});
    }
    const FewShot& few_shot = task.few_shot;
    if (few_shot.kind == FewShotKind::kNone || !seen.insert(few_shot.path).second)
      continue;
    const bool by_user = few_shot.kind == FewShotKind::kFile;
    table.rows.push_back(
        {task.id + " exemplars", state_of(few_shot.path, few_shot.sha256),
         by_user ? "exemplars that no data set holds: JSON lines with the members of the prompt"
                 : "rows that exemplars are taken from",
         data.licence, few_shot.path, few_shot.source,
         by_user ? "in a prompt " + few_shot.block_sha256 : few_shot.sha256});
  }
}

Table datasets_table() {
  Table table;
  for (const char* name : {"name", "state", "about", "licence", "path", "source", "sha256"}) {
    table.columns.push_back({name, "", Align::kLeft, Audience::kAll});
  }
  for (const NamedDataset& set : named_datasets()) {
    table.rows.push_back({set.name, state_of(set.path, set.sha256), set.about, set.licence,
                          set.path, set.source, set.sha256});
  }
  add_task_files(table);
  return table;
}

Table presets_table() {
  Table table;
  table.columns = {{"preset", ""}, {"for", ""}, {"tokenizer", ""}};
  for (const PreparationPreset& preset : preparation_presets()) {
    const bool is_first = table.rows.empty();
    std::vector<Cell> row{preset.name, preset.used_for, preset.tokenizer};
    for (const auto& [key, value] : preset_settings(preset)) {
      if (is_first)
        table.columns.push_back({field_flag(key), ""});
      row.emplace_back(value);
    }
    table.rows.push_back(std::move(row));
  }
  return table;
}

}  // namespace

int data_command(const Arguments& args) {
  CommandOptions cli("data list|presets", kText);
  cli.value("output,o", fmt::format("{} (default md)", fmt::join(table_formats(), ", ")))
      .positionals(1);
  const auto options = cli.parse(args);
  if (!options)
    return kExitOk;
  check_output_format(*options);
  const std::string what = options->positionals.empty() ? "" : options->positionals.front();
  if (what != "list" && what != "presets")
    throw ConfigError("data", what, "write `dlmbench data list` or `dlmbench data presets`");
  const Table table = what == "list" ? datasets_table() : presets_table();
  fmt::print("{}", render(table, options->get("output", "md")));
  return kExitOk;
}

}  // namespace dlm
