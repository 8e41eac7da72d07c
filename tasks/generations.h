// Texts that a model generated, read from the files that people have: JSON lines of any shape,
// lm-evaluation-harness sample logs, HumanEval sample files. Files are hostile: what is not as
// expected is refused with its line and member.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace dlm {

// One generated text and what the file says of it.
struct Generation {
  std::string where;        // "FILE line 3"
  std::int64_t row = -1;    // the document's row number, where the file counts rows; else -1
  std::string doc_id;       // the document's id, where the file names it; else empty
  std::string question;     // the document's question, where the file has it; else empty
  std::int64_t sample = 0;  // number of the sample among those of its document
  std::string text;
  // The right answer by the file itself, where it was asked for; empty where the file has none.
  std::optional<std::string> reference;
  // The file's own verdicts, by its name for the extractor ("" where it has one verdict).
  std::map<std::string, bool> recorded;
};

enum class GenerationFormat {
  kAuto,        // told from the members of the first row
  kJsonl,       // a text, with an id or the question
  kLmEval,      // lm-evaluation-harness --log_samples: a row a document and filter
  kHumanEval,   // task_id and completion, a row a sample
  kSampleList,  // prompt and samples, a row a document (CodeT)
};

// Members are dotted paths ("175b_verification.solution"); an empty one is found by its usual
// names.
struct GenerationOptions {
  GenerationFormat format = GenerationFormat::kAuto;
  std::string text_member = {};       // text, generation, completion, output, response, prediction
  std::string id_member = {};         // doc_id, task_id, id
  std::string question_member = {};   // question, problem, prompt
  std::string verdict_member = {};    // the file's own verdict, a truth value or 0 and 1
  std::string reference_member = {};  // the file's own right answer; plain rows only
};

struct GenerationFile {
  GenerationFormat format = GenerationFormat::kJsonl;
  std::string sha256;                   // of the file
  std::vector<Generation> generations;  // in file order
};

// Reads gzip or plain. Throws ConfigError where no or more than one member could hold the text,
// DataError for bad UTF-8 or JSON, a missing member or one of a wrong type, a document that occurs
// twice (JSON lines without a "sample" member), rows of one document that disagree (lm-eval).
GenerationFile read_generations(const std::string& path, const GenerationOptions& options);

// The same for a text at hand; sha256 stays empty.
GenerationFile parse_generations(std::string_view text, const std::string& path,
                                 const GenerationOptions& options);

// "auto", "jsonl", "lm_eval", "humaneval", "samples". The reverse throws ConfigError.
std::string generation_format_name(GenerationFormat format);
GenerationFormat generation_format(std::string_view name);

}  // namespace dlm
