// What the scorers of tasks with answers share: generations or stored outputs become rows and
// estimates, every extractor side by side.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "harness/base/record.h"
#include "harness/scorers/scored_run.h"
#include "tasks/generations.h"
#include "tasks/task.h"

namespace dlm {

// One text to be judged: a sample of a document.
struct AnswerText {
  std::size_t document = 0;  // its place in Task::documents
  std::int64_t sample = 0;
  std::string text;
  std::string reference;                 // the right answer
  std::map<std::string, bool> recorded;  // the verdicts that came with it
};

enum class Stops { kCut, kKeep };

struct AnswerOptions {
  Stops stops = Stops::kCut;
  std::string primary;  // the extractor that a row's score is; empty: the task's own
  std::vector<std::int64_t>
      majority;  // k of maj@k; a k that a document has too few samples for is an error
};

struct ScoredAnswers {
  std::vector<ExampleRow>
      rows;  // score: the primary extractor's verdict; output: the text as given
  std::vector<Estimate> estimates;
  std::vector<MetricDefinition> definitions;
  std::int64_t documents = 0;  // with at least one text
  std::int64_t recorded = 0;   // verdicts that came with the texts
  std::int64_t differing = 0;  // of them, those that ours differ from
};

// Judges every text by every extractor. Estimates: accuracy and answers_found by extractor, and
// majority_accuracy by extractor and k. Throws ConfigError for an unknown extractor, DataError for
// a text that cannot be searched.
ScoredAnswers score_answers(const Task& task, const std::vector<AnswerText>& texts,
                            const AnswerOptions& options);

// The texts of a file, each with its document. Throws DataError for a generation of no document of
// the task, or one whose question is another's.
std::vector<AnswerText> answer_texts(const Task& task, const GenerationFile& file);

// Puts rows, estimates and the task's identity into `run`, the settings beside those there.
void fill_scored_run(const Task& task, const AnswerOptions& options, ScoredAnswers answers,
                     ScoredRun& run);

}  // namespace dlm
