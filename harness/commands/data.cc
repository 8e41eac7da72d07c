// `data`: the named data sets, and the data preparations of published tables.
#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <set>
#include <string>

#include "harness/base/error.h"
#include "harness/base/file.h"
#include "harness/base/log.h"
#include "harness/cli.h"
#include "harness/commands/command.h"
#include "harness/commands/store_options.h"
#include "harness/data_root.h"
#include "harness/scorers/scorer_options.h"
#include "models/training/token_file.h"
#include "results/table.h"
#include "tasks/datasets.h"
#include "tasks/definition.h"
#include "tasks/presets.h"
#include "tasks/word_sums.h"

namespace dlm {
namespace {

constexpr const char* kText =
    "list: the named data sets: what each is, whether its file lies below DLMBENCH_DATA and is "
    "intact, its licence, where\n"
    "it comes from, its SHA-256. presets: how the data of published tables was prepared, as the "
    "settings that\n"
    "`run --preset NAME` makes. make word_sums: documents of that task, to train on, as text and "
    "as tokens, with the tokenizer of their words.\n\n"
    "  dlmbench data list\n  DLMBENCH_DATA=/data dlmbench data list -o csv\n"
    "  dlmbench data presets\n  dlmbench data make word_sums --to sums/ --documents 50000";

std::string state_of(const std::string& below_root, const std::string& sha256) {
  if (below_root.starts_with("made:"))
    return "made here";
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

// What `train` reads: BOS, text, EOS of every problem.
TokenFile word_sum_tokens(std::uint64_t seed, std::int64_t documents, WordSumSplit split) {
  TokenFile file;
  file.vocab_size = std::ssize(word_sum_vocabulary());
  file.source = fmt::format("word_sums, {} problems of seed {}", word_sum_split_name(split), seed);
  file.first_token = "given";
  for (std::int64_t i = 0; i < documents; ++i) {
    for (const std::int64_t id : word_sum_ids(word_sum(seed, static_cast<std::uint64_t>(i), split)))
      file.ids.push_back(static_cast<std::int32_t>(id));
    file.lengths.push_back(kWordSumTokens);
  }
  return file;
}

// A folder with the documents of the task word_sums, as text and as tokens, and the tokenizer of
// its words.
int make_word_sums(const ParsedOptions& options) {
  const std::string folder = options.get("to", "");
  if (folder.empty())
    throw ConfigError("to", "", "is needed: the folder to write to");
  const WordSumSplit split = word_sum_split(options.get("split", "train"));
  const std::int64_t documents = whole_option(options, "documents", 20000, 1);
  const auto seed = static_cast<std::uint64_t>(whole_option(options, "seed", 1, 0));
  std::filesystem::create_directories(folder);
  const std::string stem = folder + "/" + word_sum_split_name(split);
  const std::string path = stem + ".jsonl";
  write_file_atomically(path, word_sum_lines(seed, documents, split));
  write_token_file(stem + ".tokens.safetensors", word_sum_tokens(seed, documents, split));
  write_file_atomically(folder + "/tokenizer.json", word_sum_tokenizer_json());
  write_file_atomically(folder + "/tokenizer_config.json", word_sum_tokenizer_config_json());
  log_info("{} problems in {}, the tokenizer of their {} words beside them", documents, path,
           word_sum_vocabulary().size());
  return kExitOk;
}

}  // namespace

int data_command(const Arguments& args) {
  CommandOptions cli("data list|presets|make word_sums", kText);
  cli.value("output,o", fmt::format("{} (default md)", fmt::join(table_formats(), ", ")))
      .value("to", "make: the folder to write to")
      .value("documents", "make: how many (default 20000)")
      .value("seed", "make: of the draws (default 1)")
      .value("split", "make: train (default) or test; no problem is in both")
      .positionals(2);
  const auto options = cli.parse(args);
  if (!options)
    return kExitOk;
  check_output_format(*options);
  const std::string what = options->positionals.empty() ? "" : options->positionals.front();
  const std::string made = options->positionals.size() < 2 ? "" : options->positionals[1];
  if (what == "make" && made == "word_sums")
    return make_word_sums(*options);
  if ((what != "list" && what != "presets") || !made.empty())
    throw ConfigError("data", what + (made.empty() ? "" : " " + made),
                      "write `dlmbench data list`, `data presets` or `data make word_sums`");
  const Table table = what == "list" ? datasets_table() : presets_table();
  fmt::print("{}", render(table, options->get("output", "md")));
  return kExitOk;
}

}  // namespace dlm
