#include "tasks/task.h"

#include <unordered_map>
#include <utility>

#include <nlohmann/json.hpp>

#include "harness/base/error.h"
#include "harness/base/file.h"
#include "harness/base/text.h"
#include "tasks/chat_template.h"
#include "tasks/extractor.h"
#include "tasks/few_shot.h"
#include "tasks/jinja/jinja.h"
#include "tasks/judge.h"
#include "tasks/math/answer_text.h"
#include "tasks/word_sums.h"

namespace dlm {
namespace {

// The data of the task word_sums, which needs no file.
constexpr std::string_view kMadeWordSums = "made:word_sums";
constexpr std::uint64_t kWordSumSeed = 1;
constexpr std::int64_t kWordSumCount = 500;

bool ends_in_space(std::string_view text) {
  return !text.empty() && strip_python_space(text.substr(text.size() - 1)).empty();
}

bool begins_in_space(std::string_view text) {
  return !text.empty() && strip_python_space(text.substr(0, 1)).empty();
}

// Joined by a blank where neither side has white space at the seam.
std::string joined(const std::string& a, const std::string& b) {
  if (a.empty() || b.empty())
    return a + b;
  return ends_in_space(a) || begins_in_space(b) ? a + b : a + " " + b;
}

// A turn and what stands behind it in a plain prompt.
struct Turn {
  std::string role;
  std::string content;
  std::string delimiter;
};

std::string plain_text(std::span<const Turn> turns) {
  std::string text;
  for (const Turn& turn : turns) text += turn.content + turn.delimiter;
  return text;
}

std::string row_id(std::size_t number) {
  return fmt::format("{:06}", number);
}

}  // namespace

struct Task::State {
  explicit State(const TaskDefinition& of)
      : definition(of),
        question(of.prompt.question, of.id + ": question", JinjaSetup::kPrompt),
        answer(of.prompt.answer, of.id + ": answer", JinjaSetup::kPrompt),
        gen_prefix(of.prompt.gen_prefix, of.id + ": gen_prefix", JinjaSetup::kPrompt),
        few_shot_gen_prefix(of.prompt.few_shot_gen_prefix, of.id + ": few_shot_gen_prefix",
                            JinjaSetup::kPrompt),
        reference(of.reference, of.id + ": reference", JinjaSetup::kPrompt),
        judge(of) {
    for (const ExtractorForm& form : of.extractors) extractors.emplace_back(form);
  }

  const Exemplars& exemplars() const {
    if (!loaded_exemplars) {
      loaded_exemplars.emplace(definition.few_shot, exemplar_path, shots,
                               static_cast<std::int64_t>(documents.size()));
      check_block();
    }
    return *loaded_exemplars;
  }

  std::vector<Turn> exemplar_turns(std::size_t i) const {
    std::vector<Turn> turns;
    const PromptForm& form = definition.prompt;
    for (const Json* row : exemplars().of(i)) {
      turns.push_back({"user", question.render(*row), form.target_delimiter});
      turns.push_back({"assistant", joined(few_shot_gen_prefix.render(*row), answer.render(*row)),
                       form.few_shot_delimiter});
    }
    return turns;
  }

  std::vector<Turn> turns(std::size_t i) const {
    std::vector<Turn> all = exemplar_turns(i);
    const std::string asked = question.render(rows[i]);
    const std::string prefix = gen_prefix.render(rows[i]);
    const bool delimited =
        !prefix.empty() && !asked.empty() && !ends_in_space(asked) && !begins_in_space(prefix);
    all.push_back({"user", asked, delimited ? definition.prompt.target_delimiter : ""});
    if (!prefix.empty())
      all.push_back({"assistant", prefix, ""});
    return all;
  }

  // Exemplars from a file are those that the definition means, or none.
  void check_block() const {
    if (definition.few_shot.kind != FewShotKind::kFile || shots != definition.few_shot.shots)
      return;
    const std::string found = sha256_hex(plain_text(exemplar_turns(0)));
    if (found != definition.few_shot.block_sha256)
      throw DataError(
          exemplar_path, -1,
          fmt::format("the exemplars of {}, whose {} in a prompt have SHA-256 {}",
                      definition.few_shot.source, shots, definition.few_shot.block_sha256),
          found);
  }

  TaskDefinition definition;
  JinjaTemplate question, answer, gen_prefix, few_shot_gen_prefix, reference;
  Judge judge;
  std::vector<Extractor> extractors;
  std::vector<Json> rows;
  std::vector<TaskDocument> documents;
  std::unordered_map<std::string, std::size_t> by_id, by_question;
  std::string data_sha256;
  std::string exemplar_path;
  std::int64_t shots = 0;
  mutable std::optional<Exemplars> loaded_exemplars;
};

namespace {

std::string id_of(const Json& row, const TaskData& data, std::size_t number,
                  const std::string& where) {
  if (data.id_field.empty())
    return row_id(number);
  const auto it = row.find(data.id_field);
  if (it != row.end() && it->is_number_integer())
    return std::to_string(json_int(row, data.id_field.c_str(), where));
  return json_string(row, data.id_field.c_str(), where);
}

bool within(const Json& row, const TaskData& data, const std::string& where) {
  if (data.first_id == 0 && data.last_id == 0)
    return true;
  const std::int64_t id = json_int(row, data.id_field.c_str(), where);
  return id >= data.first_id && id <= data.last_id;
}

std::string reference_of(const TaskDefinition& definition, const JinjaTemplate& form,
                         const Json& row, const std::string& where) {
  std::string text = form.render(row);
  if (!definition.reference_boxed)
    return text;
  auto boxed = boxed_answer(text);
  if (!boxed)
    throw DataError(where, -1, "an answer in \\boxed{}", text.substr(0, 80));
  return *std::move(boxed);
}

// The documents of a task: the rows of its file, or those that this program makes itself.
std::vector<Json> rows_of(const std::string& path, const TaskDefinition& definition) {
  if (definition.data.path != kMadeWordSums)
    return read_rows(path, definition.data.sha256);
  const std::string lines = word_sum_lines(kWordSumSeed, kWordSumCount, WordSumSplit::kTest);
  if (const std::string sum = sha256_hex(lines); sum != definition.data.sha256)
    throw DataError(path, -1, "SHA-256 " + definition.data.sha256, sum);
  std::vector<Json> rows;
  for (const std::string& line : split(lines, '\n')) {
    if (!line.empty())
      rows.push_back(parse_json(line, path));
  }
  return rows;
}

std::string located(const std::string& data_root, const TaskDefinition& definition) {
  if (definition.data.path == kMadeWordSums)
    return definition.data.path;
  std::string path = data_root + "/" + definition.data.path;
  if (!file_exists(path))
    throw DataError(
        path, -1,
        fmt::format("the data of task '{}'; set DLMBENCH_DATA to the folder that holds {}",
                    definition.id, definition.data.path),
        "no such file");
  return path;
}

}  // namespace

Task load_task(const TaskDefinition& definition, const std::string& data_root,
               const TaskOptions& options) {
  auto state = std::make_unique<Task::State>(definition);
  const std::string path = located(data_root, definition);
  std::size_t number = 0;
  for (Json& row : rows_of(path, definition)) {
    const std::string where = fmt::format("{} row {}", path, number);
    if (within(row, definition.data, where)) {
      TaskDocument document;
      document.id = id_of(row, definition.data, number, where);
      document.sha = sha256_hex(canonical_json(row));
      if (!definition.question_field.empty())
        document.question = std::string(
            strip_python_space(json_string(row, definition.question_field.c_str(), where)));
      document.reference = reference_of(definition, state->reference, row, where);
      const std::size_t place = state->documents.size();
      if (!state->by_id.try_emplace(document.id, place).second)
        throw DataError(where, -1, "each id once", document.id + " again");
      state->by_question.try_emplace(document.question, place);
      state->documents.push_back(std::move(document));
      state->rows.push_back(std::move(row));
    }
    ++number;
  }
  const FewShot& few_shot = definition.few_shot;
  state->shots = options.shots.value_or(few_shot.shots);
  if (state->shots < 0 || (few_shot.kind == FewShotKind::kNone && state->shots > 0))
    throw ConfigError("shots", fmt::format("{}", state->shots),
                      few_shot.kind == FewShotKind::kNone ? "0: the task has no exemplars"
                                                          : "must be a whole number from 0");
  state->exemplar_path =
      options.exemplars.empty() ? data_root + "/" + few_shot.path : options.exemplars;
  state->data_sha256 = sha256_hex(canonical_json(
      Json::array({definition.data.sha256, few_shot.sha256, few_shot.block_sha256})));
  return Task(std::move(state));
}

Task::Task(std::unique_ptr<State> state) : state_(std::move(state)) {}

Task::Task(Task&&) noexcept = default;
Task::~Task() = default;

const TaskDefinition& Task::definition() const {
  return state_->definition;
}

std::span<const TaskDocument> Task::documents() const {
  return state_->documents;
}

const std::string& Task::data_sha256() const {
  return state_->data_sha256;
}

std::int64_t Task::shots() const {
  return state_->shots;
}

std::optional<std::size_t> Task::find_row(std::int64_t row) const {
  const auto n = static_cast<std::int64_t>(state_->documents.size());
  if (row < 0 || row >= n)
    return std::nullopt;
  return static_cast<std::size_t>(row);
}

std::optional<std::size_t> Task::find_id(std::string_view id) const {
  const auto it = state_->by_id.find(std::string(id));
  return it == state_->by_id.end() ? std::nullopt : std::optional(it->second);
}

std::optional<std::size_t> Task::find_question(std::string_view question) const {
  const auto it = state_->by_question.find(std::string(strip_python_space(question)));
  return it == state_->by_question.end() ? std::nullopt : std::optional(it->second);
}

std::string Task::prompt(std::size_t i) const {
  return plain_text(state_->turns(i));
}

std::vector<ChatMessage> Task::messages(std::size_t i, ChatTurns turns) const {
  std::vector<Turn> all = state_->turns(i);
  std::vector<ChatMessage> messages;
  if (turns == ChatTurns::kPerExemplar) {
    for (Turn& turn : all) messages.push_back({std::move(turn.role), std::move(turn.content)});
    return messages;
  }
  std::optional<Turn> begun;
  if (all.back().role == "assistant") {
    begun = std::move(all.back());
    all.pop_back();
  }
  all.back().delimiter.clear();
  messages.push_back({"user", plain_text(all)});
  if (begun)
    messages.push_back({"assistant", std::move(begun->content)});
  return messages;
}

std::string_view Task::cut(std::string_view text) const {
  return cut_at_stops(text, state_->definition.stop);
}

bool Task::correct(const ExtractorForm& extractor, std::string_view answer,
                   std::string_view reference) const {
  return !reference.empty() && state_->judge.correct(extractor.judge, answer, reference);
}

std::vector<AnswerVerdict> Task::judge(std::string_view text, std::string_view reference) const {
  std::vector<AnswerVerdict> verdicts;
  for (const Extractor& extractor : state_->extractors) {
    const auto answer = extractor.find(text);
    AnswerVerdict verdict{extractor.form().name, answer.value_or(kNoAnswer), answer.has_value(),
                          false};
    // What is missing is wrong whatever the reference is.
    if (answer || extractor.form().judge == JudgeKind::kExecution)
      verdict.correct = correct(extractor.form(), verdict.answer, reference);
    verdicts.push_back(std::move(verdict));
  }
  return verdicts;
}

std::string chat_prompt(const ChatTemplate& chat, std::span<const ChatMessage> messages) {
  if (messages.empty() || messages.back().role != "assistant")
    return chat.render(messages, ChatTemplate::Generation::kPrompt);
  std::string text = chat.render(messages, ChatTemplate::Generation::kNone);
  const std::string& begun = messages.back().content;
  const std::string_view core = strip_python_space(begun);
  const std::size_t at = text.rfind(core);
  if (core.empty() || at == std::string::npos)
    throw ConfigError("chat_template", core,
                      "must print the assistant's last turn, which is to be continued");
  // White space behind the turn stays where the template keeps it.
  const std::string_view with_end = std::string_view(begun).substr(begun.find(core));
  const bool kept = std::string_view(text).substr(at).starts_with(with_end);
  text.resize(at + (kept ? with_end.size() : core.size()));
  return text;
}

}  // namespace dlm
