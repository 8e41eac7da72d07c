#include "harness/scorers/answers.h"

#include <algorithm>
#include <map>
#include <set>
#include <utility>

#include <nlohmann/json.hpp>

#include "harness/base/error.h"
#include "harness/base/text.h"
#include "metrics/accuracy.h"
#include "tasks/extractor.h"
#include "tasks/judge.h"

namespace dlm {
namespace {

// The verdict that a file's name for a filter stands for: lm-evaluation-harness's names, ours, and
// the one verdict of a file that has no names, which is compared with the primary extractor's.
std::string extractor_of_filter(const std::string& filter, const std::string& primary) {
  if (filter.empty())
    return primary;
  if (filter == "strict-match")
    return "strict";
  return filter == "flexible-extract" ? "flexible" : filter;
}

struct Judged {
  std::vector<std::vector<AnswerVerdict>> verdicts;  // by text
};

std::size_t primary_place(const TaskDefinition& task, const std::string& wanted) {
  const std::string& name = wanted.empty() ? task.primary : wanted;
  std::vector<std::string> known;
  for (std::size_t i = 0; i < task.extractors.size(); ++i) {
    if (task.extractors[i].name == name)
      return i;
    known.push_back(task.extractors[i].name);
  }
  throw unknown_name("extractor", name, known);
}

ExampleRow row_of(const Task& task, const AnswerText& text) {
  const TaskDocument& document = task.documents()[text.document];
  ExampleRow row;
  row.doc_id = document.id;
  row.rep = text.sample;
  row.doc_sha = document.sha;
  row.output = text.text;
  row.bytes = static_cast<std::int64_t>(text.text.size());
  row.words = count_words(text.text);
  return row;
}

void compare_recorded(const AnswerText& text, const std::vector<AnswerVerdict>& verdicts,
                      const std::string& primary, ScoredAnswers& scored) {
  for (const auto& [filter, recorded] : text.recorded) {
    const std::string name = extractor_of_filter(filter, primary);
    for (const AnswerVerdict& verdict : verdicts) {
      if (verdict.extractor != name)
        continue;
      ++scored.recorded;
      scored.differing += verdict.correct == recorded ? 0 : 1;
    }
  }
}

void add(const Metric& metric, std::span<const ExampleRow> rows, ScoredAnswers& scored) {
  for (Estimate& one : metric.compute(rows)) scored.estimates.push_back(std::move(one));
  for (MetricDefinition& one : metric.definitions()) scored.definitions.push_back(std::move(one));
}

// Texts by document, in the order of their samples.
std::map<std::size_t, std::vector<std::size_t>> by_document(const std::vector<AnswerText>& texts) {
  std::map<std::size_t, std::vector<std::size_t>> places;
  for (std::size_t i = 0; i < texts.size(); ++i) places[texts[i].document].push_back(i);
  for (auto& [document, samples] : places) {
    std::sort(samples.begin(), samples.end(),
              [&](std::size_t a, std::size_t b) { return texts[a].sample < texts[b].sample; });
  }
  return places;
}

std::vector<ExampleRow> majority_rows(const Task& task, const std::vector<AnswerText>& texts,
                                      const Judged& judged, std::size_t extractor, std::int64_t k) {
  std::vector<ExampleRow> rows;
  for (const auto& [document, samples] : by_document(texts)) {
    ExampleRow row;
    row.doc_id = task.documents()[document].id;
    if (static_cast<std::int64_t>(samples.size()) < k)
      throw ConfigError(
          "majority", fmt::format("{}", k),
          fmt::format("at most {}, the samples of document {}", samples.size(), row.doc_id));
    std::vector<std::string> answers;
    for (std::int64_t i = 0; i < k; ++i)
      answers.push_back(judged.verdicts[samples[static_cast<std::size_t>(i)]][extractor].answer);
    const std::string winner = majority_answer(answers);
    const bool found = winner != kNoAnswer;
    row.score = found && task.correct(task.definition().extractors[extractor], winner,
                                      texts[samples.front()].reference)
                    ? 1.0
                    : 0.0;
    rows.push_back(std::move(row));
  }
  return rows;
}

// Equality of texts and numbers needs no name; a judge that decides more has one, with its version.
std::string variant_of(const ExtractorForm& form) {
  if (form.judge == JudgeKind::kText || form.judge == JudgeKind::kNumber)
    return form.name;
  return form.name + ", " + Judge::description(form.judge);
}

void estimate(const Task& task, const std::vector<AnswerText>& texts, const Judged& judged,
              const AnswerOptions& options, ScoredAnswers& scored) {
  std::vector<ExampleRow> rows = scored.rows;
  for (std::size_t e = 0; e < task.definition().extractors.size(); ++e) {
    const ExtractorForm& form = task.definition().extractors[e];
    const std::string name = variant_of(form);
    for (std::size_t i = 0; i < rows.size(); ++i)
      rows[i].score = judged.verdicts[i][e].correct ? 1.0 : 0.0;
    add(Accuracy({"accuracy", name}), rows, scored);
    for (std::size_t i = 0; i < rows.size(); ++i)
      rows[i].score = judged.verdicts[i][e].found ? 1.0 : 0.0;
    add(Accuracy({"answers_found", form.name}), rows, scored);
    for (const std::int64_t k : options.majority) {
      add(Accuracy({"majority_accuracy", fmt::format("{} maj@{}", name, k)}),
          majority_rows(task, texts, judged, e, k), scored);
    }
  }
}

}  // namespace

ScoredAnswers score_answers(const Task& task, const std::vector<AnswerText>& texts,
                            const AnswerOptions& options) {
  const std::size_t primary = primary_place(task.definition(), options.primary);
  const std::string& primary_name = task.definition().extractors[primary].name;
  ScoredAnswers scored;
  Judged judged;
  std::set<std::size_t> documents;
  for (const AnswerText& text : texts) {
    const std::string_view counted =
        options.stops == Stops::kCut ? task.cut(text.text) : std::string_view(text.text);
    judged.verdicts.push_back(task.judge(counted, text.reference));
    const std::vector<AnswerVerdict>& verdicts = judged.verdicts.back();
    compare_recorded(text, verdicts, primary_name, scored);
    ExampleRow row = row_of(task, text);
    row.score = verdicts[primary].correct ? 1.0 : 0.0;
    scored.rows.push_back(std::move(row));
    documents.insert(text.document);
  }
  scored.documents = static_cast<std::int64_t>(documents.size());
  estimate(task, texts, judged, options, scored);
  return scored;
}

std::vector<AnswerText> answer_texts(const Task& task, const GenerationFile& file) {
  std::vector<AnswerText> texts;
  std::set<std::pair<std::size_t, std::int64_t>> seen;
  for (const Generation& generation : file.generations) {
    const bool by_id = !generation.doc_id.empty();
    const auto place = by_id                 ? task.find_id(generation.doc_id)
                       : generation.row >= 0 ? task.find_row(generation.row)
                                             : task.find_question(generation.question);
    if (!place)
      throw DataError(generation.where, -1,
                      fmt::format("a document of task '{}'", task.definition().id),
                      by_id ? generation.doc_id
                            : fmt::format("row {}, question '{}'", generation.row,
                                          generation.question.substr(0, 60)));
    const TaskDocument& document = task.documents()[*place];
    if (!generation.question.empty() &&
        strip_python_space(generation.question) != document.question)
      throw DataError(generation.where, -1,
                      fmt::format("the question of document {}: '{}'", document.id,
                                  document.question.substr(0, 60)),
                      "'" + generation.question.substr(0, 60) + "'");
    if (!seen.insert({*place, generation.sample}).second)
      throw DataError(generation.where, -1, "each document and sample once",
                      fmt::format("document {} sample {} again", document.id, generation.sample));
    texts.push_back({*place, generation.sample, generation.text,
                     generation.reference.value_or(document.reference), generation.recorded});
  }
  return texts;
}

void fill_scored_run(const Task& task, const AnswerOptions& options, ScoredAnswers answers,
                     ScoredRun& run) {
  const TaskDefinition& definition = task.definition();
  run.task_name = definition.id;
  run.task_version = definition.version;
  run.data_sha256 = task.data_sha256();
  run.n_docs = std::ssize(task.documents());
  run.smoke = answers.documents < run.n_docs;
  run.settings["task"] = definition.id;
  run.settings["definition_sha256"] = definition.toml_sha256;
  run.settings["extractor"] = options.primary.empty() ? definition.primary : options.primary;
  run.settings["stops"] = options.stops == Stops::kCut ? "cut" : "keep";
  run.settings["majority"] = options.majority;
  run.settings["subset"] = fmt::format("{} of {}", answers.documents, run.n_docs);
  run.rows = std::move(answers.rows);
  run.estimates = std::move(answers.estimates);
  run.definitions = std::move(answers.definitions);
}

}  // namespace dlm
