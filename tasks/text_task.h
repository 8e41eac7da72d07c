// A text to be scored, by name: one of the named sets or a file of the user's own.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "harness/base/record.h"
#include "tasks/corpus.h"
#include "tasks/detokenizer.h"

namespace dlm {

struct TextTaskSpec {
  // A named set (datasets.h), or a file: "text:PATH", "text:PATH?split=lines" (whole, lines,
  // articles, paragraphs, rows, stripped, or separator with &separator=LINE),
  // "jsonl:PATH?field=text", "json:PATH?field=text" (field defaults to "text"), "csv:PATH?column=3"
  // (numbers from 1, or header names; "2,3" joins columns by a space). The query starts at the last
  // "?".
  std::string name;
  std::string detokenizer;  // detokenizer.h; empty: the named set's own, "none" for files
  std::int64_t limit = 0;   // only the first documents; 0 = all
};

struct TaskInfo {
  std::string name;
  int version = 0;  // raised when documents change for the same file
  std::string kind;
  std::string data_sha256;  // of the file
  std::string config;       // canonical JSON: all that turns the file into documents, but the limit
  std::int64_t n_docs = 0;  // within the limit
};

class TextTask {
 public:
  TextTask(TaskInfo info, Detokenizer detokenizer, std::vector<Document> raw);

  const TaskInfo& info() const { return info_; }

  // The first `limit` documents of those within the spec's limit (0 = all of these), detokenized.
  std::vector<Document> documents(std::int64_t limit = 0) const;

 private:
  TaskInfo info_;
  Detokenizer detokenizer_;
  std::vector<Document> raw_;
};

// Reads and checks the file. `data_root` is the folder that named sets lie in. Throws ConfigError
// (unknown set, kind, option or detokenizer, with the nearest name; negative limit) and DataError
// (corpus.h, datasets.h).
TextTask make_text_task(const TextTaskSpec& spec, const std::string& data_root);

}  // namespace dlm
