#include "harness/answer_verdicts.h"

#include <algorithm>
#include <map>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include "harness/base/error.h"
#include "harness/data_root.h"
#include "harness/scorers/answers.h"
#include "harness/scorers/code_judging.h"
#include "metrics/pass_at_k.h"

namespace dlm {
namespace {

// The extractor whose verdict is a row's score. Throws ConfigError for one that the task has not.
const ExtractorForm& primary_of(const AnswerSpec& spec, const TaskDefinition& definition) {
  const std::string& wanted = spec.extractor.empty() ? definition.primary : spec.extractor;
  std::vector<std::string> known;
  for (const ExtractorForm& form : definition.extractors) {
    if (form.name == wanted)
      return form;
    known.push_back(form.name);
  }
  throw unknown_name("extractor", wanted, known);
}

std::size_t place_of(const Task& task, const ExampleRow& row) {
  const auto place = task.find_id(row.doc_id);
  DLM_CHECK(place.has_value(), "no document {}", row.doc_id);
  return *place;
}

// Of the values of k that tables are published with, those below the number of samples; and that
// number.
std::vector<std::int64_t> up_to(std::int64_t samples, std::vector<std::int64_t> published) {
  std::erase_if(published, [samples](std::int64_t k) { return k >= samples; });
  published.push_back(samples);
  return published;
}

class ExtractorVerdicts final : public AnswerVerdicts {
 public:
  ExtractorVerdicts(const AnswerSpec& spec, const Task& task) : task_(task) {
    options_.primary = primary_of(spec, task.definition()).name;
    if (spec.samples > 1)
      options_.majority = up_to(spec.samples, {8});
  }

  void judge(std::span<ExampleRow> rows) override {
    for (ExampleRow& row : rows) {
      const std::string& reference = task_.documents()[place_of(task_, row)].reference;
      for (const AnswerVerdict& verdict : task_.judge(row.output, reference)) {
        if (verdict.extractor == options_.primary)
          row.score = verdict.correct ? 1 : 0;
      }
    }
  }

  Measures measures(std::span<const ExampleRow> rows) override {
    std::vector<AnswerText> texts;
    for (const ExampleRow& row : rows) {
      const std::size_t place = place_of(task_, row);
      texts.push_back({place, row.rep, row.output, task_.documents()[place].reference, {}});
    }
    ScoredAnswers scored = score_answers(task_, texts, options_);
    return {std::move(scored.estimates), std::move(scored.definitions)};
  }

  Json identity() const override { return {{"extractor", options_.primary}}; }

 private:
  const Task& task_;
  AnswerOptions options_;
};

class ProgramVerdicts final : public AnswerVerdicts {
 public:
  ProgramVerdicts(const AnswerSpec& spec, const Task& task)
      : task_(task), sandbox_(SandboxOptions()) {
    const TaskDefinition& definition = task.definition();
    is_sanitised_ = primary_of(spec, definition).kind == ExtractorKind::kSanitised;
    const std::string path = data_root() + "/" + definition.data.path;
    has_sanitiser_ = definition.id.starts_with("humaneval");
    if (!has_sanitiser_ && !definition.id.starts_with("mbpp"))
      throw ConfigError("task", definition.id, "humaneval or mbpp: their programs can be run");
    problems_ = has_sanitiser_ ? read_humaneval(path) : read_mbpp(path);
    for (const CodeProblem& problem : problems_) by_id_[problem.id] = &problem;
    if (is_sanitised_ && !has_sanitiser_)
      throw ConfigError("extractor", "sanitised",
                        "of HumanEval: MBPP's programs are not sanitised");
    ks_ = up_to(spec.samples, {1, 10, 100});
  }

  void judge(std::span<ExampleRow> rows) override {
    const Sanitising sanitising = is_sanitised_ ? Sanitising::kOn : Sanitising::kOff;
    const CodeScores scores = score_attempts(sandbox_, attempts_of(rows), {sanitising, {1}});
    for (std::size_t i = 0; i < rows.size(); ++i) {
      rows[i].score = scores.rows[i].score;
      rows[i].exec_status = scores.rows[i].exec_status;
    }
  }

  Measures measures(std::span<const ExampleRow> rows) override {
    Measures measures;
    const std::string variant = is_sanitised_ ? "sanitised" : "";
    const PassAtK pass({ks_, variant});
    const ExecShare shares(variant);
    measures.add(pass.compute(rows), pass.definitions());
    measures.add(shares.compute(rows), shares.definitions());
    if (has_sanitiser_) {
      const Sanitising other = is_sanitised_ ? Sanitising::kOff : Sanitising::kOn;
      CodeScores scores = score_attempts(sandbox_, attempts_of(rows), {other, ks_});
      measures.add(std::move(scores.estimates), {});
    }
    return measures;
  }

  Json identity() const override {
    return {{"sandbox", parse_json(sandbox_.settings_json(), "sandbox")}};
  }

 private:
  std::vector<CodeAttempt> attempts_of(std::span<const ExampleRow> rows) const {
    std::vector<CodeAttempt> attempts;
    for (const ExampleRow& row : rows) {
      const auto problem = by_id_.find(row.doc_id);
      DLM_CHECK(problem != by_id_.end(), "no problem {}", row.doc_id);
      const std::string text(task_.cut(row.output));
      attempts.push_back({{problem->second, problem->second->prompt, text}, row.rep, {}});
    }
    return attempts;
  }

  const Task& task_;
  Sandbox sandbox_;
  std::vector<CodeProblem> problems_;
  std::map<std::string, const CodeProblem*> by_id_;
  bool has_sanitiser_ = false;
  bool is_sanitised_ = false;  // the programs whose verdicts are the rows' scores
  std::vector<std::int64_t> ks_;
};

}  // namespace

std::unique_ptr<AnswerVerdicts> make_answer_verdicts(const AnswerSpec& spec, const Task& task) {
  const auto& extractors = task.definition().extractors;
  const bool runs_programs =
      std::any_of(extractors.begin(), extractors.end(),
                  [](const ExtractorForm& form) { return form.judge == JudgeKind::kExecution; });
  if (runs_programs)
    return std::make_unique<ProgramVerdicts>(spec, task);
  return std::make_unique<ExtractorVerdicts>(spec, task);
}

}  // namespace dlm
