// `prompt`: the prompts of a task, to read or to generate from elsewhere.
#include <algorithm>
#include <cstdio>
#include <optional>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "harness/base/error.h"
#include "harness/base/text.h"
#include "harness/cli.h"
#include "harness/commands/command.h"
#include "harness/data_root.h"
#include "harness/scorers/answer_tasks.h"
#include "tasks/chat_template.h"

namespace dlm {
namespace {

std::string help_text() {
  std::string text =
      "Prompts of a task as JSON lines: id, prompt, stop strings, longest answer. What a model "
      "makes "
      "of them goes to `score`\nas {\"id\": ..., \"text\": ...} lines.\n\n  dlmbench prompt gsm8k "
      "-n "
      "3\n  dlmbench prompt humaneval_instruct --chat MODEL_FOLDER > prompts.jsonl\n\nTasks:\n";
  for (const TaskDefinition& task : task_definitions())
    text += fmt::format("  {:<28} {}\n", task.id, task.about);
  return text;
}

std::int64_t count_option(const ParsedOptions& options, const std::string& name) {
  const std::string text = options.get(name, "0");
  const auto value = parse_int(text);
  if (!value || *value < 0)
    throw ConfigError(name, text, "must be a whole number from 0");
  return *value;
}

ChatTurns turns_of(const ParsedOptions& options) {
  const std::string name = options.get("turns", "exemplar");
  if (name == "exemplar")
    return ChatTurns::kPerExemplar;
  if (name == "one")
    return ChatTurns::kOne;
  throw ConfigError("turns", name, "exemplar (a user and a model turn each) or one");
}

TaskOptions task_options(const ParsedOptions& options) {
  TaskOptions task;
  if (options.has("shots"))
    task.shots = count_option(options, "shots");
  task.exemplars = options.get("exemplars", "");
  return task;
}

}  // namespace

int prompt_command(const Arguments& args) {
  CommandOptions cli("prompt TASK [options]", help_text());
  cli.value("limit,n", "only the first N documents; 0 (default) = all")
      .value("shots", "another number of exemplars than the task's")
      .value("exemplars", "file of the exemplars that no data set holds: JSON lines")
      .value("chat", "through the chat template of this model's folder")
      .value("turns", "in a chat: exemplar (default), a turn each; one, all in one user turn")
      .value("definition", "a task of your own instead of TASK: a TOML file")
      .flag("text", "the bare prompts, one after the other")
      .positionals(1);
  const auto options = cli.parse(args);
  if (!options)
    return kExitOk;
  if (options->positionals.empty() && !options->has("definition"))
    throw ConfigError("task", "", "is needed: dlmbench prompt TASK (see --help)");
  const std::string id = options->positionals.empty() ? "" : options->positionals.front();
  const Task task = load_task(task_of(*options, id), data_root(), task_options(*options));
  std::optional<ChatTemplate> chat;
  if (options->has("chat"))
    chat = ChatTemplate::from_folder(resolve_data_path(options->get("chat", "")));
  else if (task.definition().prompt.chat)
    throw ConfigError("chat", "", "is needed by this task: the folder of a model with a template");
  const std::int64_t limit = count_option(*options, "limit");
  const ChatTurns turns = turns_of(*options);
  const auto n = std::ssize(task.documents());
  for (std::int64_t i = 0; i < (limit == 0 ? n : std::min(limit, n)); ++i) {
    const auto place = static_cast<std::size_t>(i);
    const std::string prompt =
        chat ? chat_prompt(*chat, task.messages(place, turns)) : task.prompt(place);
    if (options->has("text")) {
      fmt::print("{}\n", prompt);
      continue;
    }
    fmt::print("{}\n", canonical_json({{"id", task.documents()[place].id},
                                       {"prompt", prompt},
                                       {"stop", task.definition().stop},
                                       {"max_new_tokens", task.definition().max_new_tokens}}));
  }
  return kExitOk;
}

}  // namespace dlm
