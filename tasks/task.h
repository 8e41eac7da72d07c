// A task with answers, ready: its documents, the prompt of each, and the verdicts on what a model
// wrote. What reads a definition and its files; it runs no model.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "harness/base/json.h"
#include "tasks/definition.h"

namespace dlm {

class ChatTemplate;

// One document: a problem with its answer. `id` does not depend on --limit.
struct TaskDocument {
  std::string id;
  std::string sha;        // SHA-256 of its canonical JSON
  std::string question;   // the member that names it, stripped of white space
  std::string reference;  // the right answer as the judges take it
};

struct ChatMessage {
  std::string role;  // "system", "user" or "assistant"
  std::string content;
};

// How a prompt with exemplars goes through a chat template: a user and an assistant turn each
// (lm-evaluation-harness today), or all in one user turn (its 0.4.8, the Dream fork).
enum class ChatTurns { kPerExemplar, kOne };

// What one extractor made of a text.
struct AnswerVerdict {
  std::string extractor;
  std::string answer;  // "[invalid]" where none was found
  bool found = false;
  bool correct = false;
};

struct TaskOptions {
  std::optional<std::int64_t> shots = {};  // another number of exemplars than the definition's
  std::string exemplars = {};              // kFile: this file and not the definition's
};

class Task {
 public:
  Task(Task&&) noexcept;
  ~Task();

  const TaskDefinition& definition() const;
  std::span<const TaskDocument> documents() const;

  // SHA-256 of all that prompts are made of: data, exemplars, definition.
  const std::string& data_sha256() const;

  std::int64_t shots() const;

  // The place of the document that a file of generations means by a row number, an id or its
  // question; nothing where it is none of this task's.
  std::optional<std::size_t> find_row(std::int64_t row) const;
  std::optional<std::size_t> find_id(std::string_view id) const;
  std::optional<std::size_t> find_question(std::string_view question) const;

  // The prompt of document `i` as plain text, byte for byte that of lm-evaluation-harness where the
  // definition says so. Needs exemplars (see load_task).
  std::string prompt(std::size_t i) const;

  // The same as turns; the last is the assistant's, to go on from, where there is a gen_prefix.
  std::vector<ChatMessage> messages(std::size_t i, ChatTurns turns) const;

  // The text that counts: before the first stop string.
  std::string_view cut(std::string_view text) const;

  // One verdict an extractor, in the definition's order; `text` is taken as it is, `reference` is
  // the right answer (TaskDocument::reference; nothing is right by an empty one). Throws
  // ConfigError where programs would have to be run.
  std::vector<AnswerVerdict> judge(std::string_view text, std::string_view reference) const;

  // The verdict on an answer by the judge of that extractor.
  bool correct(const ExtractorForm& extractor, std::string_view answer,
               std::string_view reference) const;

 private:
  friend Task load_task(const TaskDefinition&, const std::string&, const TaskOptions&);
  struct State;
  explicit Task(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

// Reads the documents below `data_root`; exemplars are read when the first prompt is asked for, so
// that scoring needs none. Throws DataError for a file that is missing, has another SHA-256, or is
// not as the definition says; ConfigError for more shots than there are exemplars.
Task load_task(const TaskDefinition& definition, const std::string& data_root,
               const TaskOptions& options = {});

// The messages through a model's chat template. Where the last turn is the assistant's, the text
// ends with its content, to be continued; else with the template's generation prompt. Source:
// transformers apply_chat_template(continue_final_message).
std::string chat_prompt(const ChatTemplate& chat, std::span<const ChatMessage> messages);

}  // namespace dlm
