// What a task with answers is, as data: definitions/*.toml, embedded in the program. A definition
// names its data, how a prompt is built, and how an answer is found and judged; a user's file can
// define another task in the same form.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace dlm {

// JSON lines below the data folder (gzip or plain), one document a line.
struct TaskData {
  std::string path;
  std::string sha256;
  std::string id_field;                    // of a document's id; empty: its row number, six digits
  std::int64_t first_id = 0, last_id = 0;  // only rows whose whole-number id lies within; 0, 0: all
  std::string licence;
  std::string source;  // repository@commit:path
};

enum class FewShotKind {
  kNone,
  kSampled,  // rows drawn for each document as lm-evaluation-harness draws them
  kRows,     // the rows with these ids, for every document
  kFile,     // rows of a file of the user's: exemplars that no data set holds
};

struct FewShot {
  FewShotKind kind = FewShotKind::kNone;
  std::int64_t shots = 0;
  std::string path;    // of the rows; below the data folder
  std::string sha256;  // of that file; kFile has none
  std::string id_field;
  std::vector<std::int64_t> ids;  // kRows
  std::uint64_t seed = 0;         // kSampled
  // kFile: SHA-256 of all `shots` exemplars as they stand in a plain prompt; other exemplars are
  // refused.
  std::string block_sha256;
  std::string source;
};

// Templates are Jinja (jinja/jinja.h) over the document's members.
struct PromptForm {
  std::string question;
  std::string answer;  // of an exemplar
  std::string target_delimiter = " ";
  std::string few_shot_delimiter = "\n\n";
  std::string gen_prefix;           // begins the model's turn; it goes on from there
  std::string few_shot_gen_prefix;  // begins an exemplar's answer
  bool chat = false;                // meant for a model with a chat template
};

enum class ExtractorKind {
  kRegex,           // a match of `pattern`: the first group that took part, stripped
  kBoxed,           // the last \boxed{}
  kBoxedNumber,     // a number in \boxed{}, else in <answer></answer> (d1)
  kBetweenDollars,  // from the first "$" to the last (hendrycks)
  kWorkedSums,      // the result of right steps (word_sums.h)
  kSanitised,       // the program that the sanitiser takes out of a text, in the sandbox
};

enum class MatchChoice { kFirst, kLast };

enum class JudgeKind {
  kText,       // equal after deletions, letter case apart (exact_match)
  kNumber,     // equal as double
  kMath,       // math_equal, units deleted as the minerva normal form does
  kHendrycks,  // equal normal forms of the MATH paper's scorer
  kExecution,  // a program that passes its tests; not judged here
};

struct ExtractorForm {
  std::string name;
  ExtractorKind kind = ExtractorKind::kRegex;
  std::string pattern;
  MatchChoice choice = MatchChoice::kFirst;
  std::string append;  // put behind the text before it is searched
  JudgeKind judge = JudgeKind::kText;
};

struct TaskDefinition {
  std::string id;
  std::int64_t version = 0;  // rises when prompts or verdicts change
  std::string about;
  TaskData data;
  PromptForm prompt;
  FewShot few_shot;
  std::vector<std::string> stop;
  std::int64_t max_new_tokens = 0;
  std::string question_field;        // the member that names a document in files without ids
  std::string reference;             // template of the right answer
  bool reference_boxed = false;      // of it, what the last \boxed{} holds
  std::vector<std::string> ignored;  // regular expressions that kText deletes from both sides
  std::vector<ExtractorForm> extractors;
  std::string primary;      // the extractor whose verdict is a row's score
  std::string toml_sha256;  // of the definition itself, its base included
};

// The embedded definitions by id, in the order of the list.
const std::vector<TaskDefinition>& task_definitions();

// Throws ConfigError with the nearest known id.
const TaskDefinition& find_task(std::string_view id);

// A definition from TOML. `base = "ID"` starts from a known one and replaces what the text gives
// (arrays whole, a table that names its kind too). Throws ConfigError with `source` and key for a
// missing or unknown key, a wrong type, an unknown name.
TaskDefinition parse_task(std::string_view toml, const std::string& source);

std::string judge_name(JudgeKind kind);

}  // namespace dlm
