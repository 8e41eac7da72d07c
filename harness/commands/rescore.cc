// `rescore`: the stored outputs of a run, judged anew without a model.
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include <nlohmann/json.hpp>

#include "harness/base/error.h"
#include "harness/base/file.h"
#include "harness/cli.h"
#include "harness/commands/command.h"
#include "harness/commands/run_choice.h"
#include "harness/commands/store_options.h"
#include "harness/data_root.h"
#include "harness/scorers/answer_tasks.h"

namespace dlm {
namespace {

constexpr const char* kText =
    "Judges the stored outputs of a run again, by another extractor or protocol or a newer version "
    "of the same, without a\nmodel, against the task's own answers. The result is a new run that "
    "names the old one; costs and tokens are the old\nrun's.\n\n  dlmbench rescore 0193a4 "
    "--extractor strict\n  dlmbench rescore 0193a4 --protocol gsm8k_chat";

struct OldRun {
  std::string run_id, model, task, family, dtype, weights_sha256, tokenizer_sha256;
  std::int64_t parameters = 0;
  std::vector<ExampleRow> rows;
};

std::string text_in(const Cell& cell) {
  const auto* text = std::get_if<std::string>(&cell.value);
  return text == nullptr ? "" : *text;
}

OldRun read_run(const ParsedOptions& options) {
  if (options.positionals.empty())
    throw ConfigError("run", "",
                      "is needed: the beginning of a run's id, or a tag (dlmbench list)");
  const auto store = open_store_read_only(options);
  OldRun old;
  old.run_id = named_run(*store, options.positionals.front());
  const std::vector<Cell> parameters{old.run_id};
  const Table found = store->query(
      "SELECT model, task, family, dtype, weights_sha256, tokenizer_sha256, params FROM v_run "
      "WHERE run_id=?",
      parameters);
  DLM_CHECK(found.rows.size() == 1, "run {} has {} rows", old.run_id, found.rows.size());
  const std::vector<Cell>& row = found.rows[0];
  old.model = text_in(row[0]);
  old.task = text_in(row[1]);
  old.family = text_in(row[2]);
  old.dtype = text_in(row[3]);
  old.weights_sha256 = text_in(row[4]);
  old.tokenizer_sha256 = text_in(row[5]);
  if (const auto* parameters_of_model = std::get_if<std::int64_t>(&row[6].value))
    old.parameters = *parameters_of_model;
  old.rows = store->rows(old.run_id);
  return old;
}

std::vector<AnswerText> texts_of(const Task& task, const OldRun& old) {
  std::vector<AnswerText> texts;
  bool any = false;
  for (const ExampleRow& row : old.rows) {
    const std::string where = fmt::format("run {} document {}", old.run_id, row.doc_id);
    const auto place = task.find_id(row.doc_id);
    if (!place)
      throw DataError(where, -1, fmt::format("a document of task '{}'", task.definition().id),
                      "none with this id");
    const TaskDocument& document = task.documents()[*place];
    if (document.sha != row.doc_sha)
      throw DataError(where, -1, "the document that was answered, SHA-256 " + row.doc_sha,
                      document.sha);
    any = any || !row.output.empty();
    texts.push_back({*place, row.rep, row.output, document.reference, {}});
  }
  if (!any)
    throw ConfigError("run", old.run_id, "must have stored outputs; this one has none");
  return texts;
}

std::string sum_of_outputs(const OldRun& old) {
  Json all = Json::array();
  for (const ExampleRow& row : old.rows)
    all.push_back({row.doc_id, row.rep, sha256_hex(row.output)});
  return sha256_hex(canonical_json(all));
}

// The new verdicts on the old rows, which keep what the text cost.
std::vector<ExampleRow> with_verdicts(const OldRun& old, const std::vector<ExampleRow>& judged) {
  DLM_CHECK(old.rows.size() == judged.size(), "{} rows and {} verdicts", old.rows.size(),
            judged.size());
  std::vector<ExampleRow> rows = old.rows;
  for (std::size_t i = 0; i < rows.size(); ++i) {
    DLM_CHECK(rows[i].doc_id == judged[i].doc_id, "rows in another order");
    rows[i].score = judged[i].score;
  }
  return rows;
}

}  // namespace

int rescore_command(const Arguments& args) {
  CommandOptions cli("rescore RUN [options]", kText);
  add_answer_options(cli);
  add_scored_run_options(cli);
  cli.positionals(1);
  const auto options = cli.parse(args);
  if (!options)
    return kExitOk;
  const OldRun old = read_run(*options);
  const AnswerOptions answer = answer_options(*options);
  const Task task = load_task(task_of(*options, old.task), data_root());
  ScoredAnswers answers = score_answers(task, texts_of(task, old), answer);
  answers.rows = with_verdicts(old, answers.rows);
  ScoredRun run;
  run.settings = {{"rescored_run", old.run_id}};
  run.model_name = old.model;
  run.model = {old.family, old.dtype, old.weights_sha256, old.tokenizer_sha256, old.parameters};
  run.generations_sha256 = sum_of_outputs(old);
  run.command = command_line("rescore", args);
  fill_scored_run(task, answer, std::move(answers), run);
  return record_scored_run(*options, run);
}

}  // namespace dlm
