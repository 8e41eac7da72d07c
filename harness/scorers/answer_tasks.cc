#include "harness/scorers/answer_tasks.h"

#include <filesystem>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include "harness/base/error.h"
#include "harness/base/file.h"
#include "harness/base/gzip.h"
#include "harness/base/log.h"
#include "harness/base/text.h"
#include "harness/cli.h"
#include "harness/data_root.h"

namespace dlm {
namespace {

// The protocols that share data and answers, so that one file can be scored by any of them.
struct Family {
  const char* name;
  const char* fallback;
  std::vector<std::string> protocols;
};

std::string help_text(const Family& family) {
  std::string text = fmt::format(
      "Scores generated answers, with every extractor of the protocol side by side. The file is "
      "JSON lines (gzip or plain): rows\nwith a text and an id, a row number or the question; or "
      "an "
      "lm-evaluation-harness sample log.\n\n  dlmbench score {} --generations samples.jsonl\n\n"
      "Protocols:\n",
      family.name);
  for (const std::string& id : family.protocols)
    text += fmt::format("  {:<28} {}\n", id, find_task(id).about);
  return text;
}

CommandOptions options_of(const Family& family) {
  CommandOptions cli(fmt::format("score {} --generations FILE", family.name), help_text(family));
  cli.value("generations", "the file of generated texts")
      .value("model-name", "who wrote them (default: the file's name)")
      .value("format", "auto (default), jsonl, lm_eval, humaneval, samples")
      .value("text-member", "member of a row that holds the text; dots go into members")
      .value("id-member", "member that names the document")
      .value("question-member", "member that holds the question")
      .value("verdict-member", "member with the file's own verdict, to compare with")
      .value("reference-member", "judge by this member and not by the task's own answer");
  add_answer_options(cli);
  add_scored_run_options(cli);
  return cli;
}

GenerationOptions generation_options(const ParsedOptions& options) {
  return {.format = generation_format(options.get("format", "auto")),
          .text_member = options.get("text-member", ""),
          .id_member = options.get("id-member", ""),
          .question_member = options.get("question-member", ""),
          .verdict_member = options.get("verdict-member", ""),
          .reference_member = options.get("reference-member", "")};
}

std::int64_t whole_number(const std::string& name, const std::string& text) {
  const auto value = parse_int(text);
  if (!value || *value < 1)
    throw ConfigError(name, text, "must be a whole number from 1");
  return *value;
}

void report_comparison(const ScoredAnswers& answers) {
  if (answers.recorded > 0) {
    log_info("verdicts in the file: {}; ours differ from {}", answers.recorded, answers.differing);
  }
}

int score_family(const Family& family, const Arguments& args) {
  const auto options = options_of(family).parse(args);
  if (!options)
    return kExitOk;
  const std::string path = options->get("generations", "");
  if (path.empty())
    throw ConfigError("generations", "", "is needed: a file of generated texts");
  const AnswerOptions answer = answer_options(*options);
  const Task task = load_task(task_of(*options, family.fallback), data_root());
  const GenerationFile file = read_generations(path, generation_options(*options));
  ScoredAnswers answers = score_answers(task, answer_texts(task, file), answer);
  report_comparison(answers);
  ScoredRun run;
  run.settings = {{"format", generation_format_name(file.format)},
                  {"text_member", options->get("text-member", "")},
                  {"reference_member", options->get("reference-member", "")}};
  // What names the documents decides which answers the texts are judged by.
  if (options->has("id-member"))
    run.settings["id_member"] = options->get("id-member", "");
  if (options->has("question-member"))
    run.settings["question_member"] = options->get("question-member", "");
  run.model_name = options->get("model-name", std::filesystem::path(path).filename().string());
  run.generations_sha256 = file.sha256;
  run.command = command_line(fmt::format("score {}", family.name), args);
  fill_scored_run(task, answer, std::move(answers), run);
  return record_scored_run(*options, run);
}

}  // namespace

void add_answer_options(CommandOptions& cli) {
  cli.value("protocol", "the task whose extractors and stop strings are used")
      .value("definition", "a task of your own: a TOML file in the form of the built-in ones")
      .value("extractor", "the one whose verdict is stored with each row (default: the task's)")
      .value("majority", "also the answer that most of the first K samples give; may be repeated")
      .flag("keep-stops", "do not cut the texts at the task's stop strings");
}

AnswerOptions answer_options(const ParsedOptions& options) {
  AnswerOptions answer;
  answer.stops = options.has("keep-stops") ? Stops::kKeep : Stops::kCut;
  answer.primary = options.get("extractor", "");
  for (const std::string& text : options.all("majority"))
    answer.majority.push_back(whole_number("majority", text));
  return answer;
}

TaskDefinition task_of(const ParsedOptions& options, const std::string& fallback) {
  const std::string path = options.get("definition", "");
  if (!path.empty())
    return parse_task(read_text_file(path), path);
  return find_task(options.get("protocol", fallback));
}

int score_gsm8k(const Arguments& args) {
  return score_family({"gsm8k",
                       "gsm8k",
                       {"gsm8k", "gsm8k_4shot", "gsm8k_cot", "gsm8k_cot_self_consistency",
                        "gsm8k_cot_zeroshot", "gsm8k_chat"}},
                      args);
}

int score_math(const Arguments& args) {
  return score_family(
      {"math",
       "minerva_math",
       {"minerva_math", "minerva_math500", "math500", "hendrycks_math", "hendrycks_math500"}},
      args);
}

}  // namespace dlm
