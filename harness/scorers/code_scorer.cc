#include "harness/scorers/code_scorer.h"

#include <algorithm>
#include <filesystem>
#include <map>
#include <optional>
#include <set>
#include <span>
#include <utility>

#include <nlohmann/json.hpp>

#include "harness/base/error.h"
#include "harness/base/file.h"
#include "harness/base/json.h"
#include "harness/base/log.h"
#include "harness/base/text.h"
#include "harness/cli.h"
#include "harness/commands/run_choice.h"
#include "harness/commands/store_options.h"
#include "harness/data_root.h"
#include "harness/scorers/answer_tasks.h"
#include "harness/scorers/code_judging.h"
#include "harness/scorers/scored_run.h"
#include "tasks/definition.h"
#include "tasks/extractor.h"
#include "tasks/generations.h"

namespace dlm {
namespace {

constexpr std::int64_t kTaskVersion = 1;

struct Input {
  std::vector<CodeProblem> problems;  // of the split
  std::string data_sha256;
  std::vector<CodeAttempt> attempts;
  std::string generations_sha256;
  std::string model;  // who wrote the texts, as far as is known
  bool is_subset = false;
};

CommandOptions options_of(const CodeTask& task) {
  CommandOptions cli(fmt::format("score {}", task.name), task.about);
  cli.value("generations", "file of generated texts, JSON lines or gzip of them")
      .value("format", "auto, jsonl, lm_eval, humaneval, samples (default auto)")
      .value("text-member", "member that holds the text, where it can not be told")
      .value("protocol",
             "task whose stop strings end the texts: mbpp_instruct, ... (default: none)")
      .value("verdict-member", "member with the file's own verdict, to be compared")
      .value("run", "beginning of a stored run's id: its outputs are scored again")
      .flag("reference", "score the authors' own solutions")
      .value("model", "who wrote the texts (default: the file's name)")
      .value("data", "another file of problems")
      .value("k", "k of pass@k, a list (default 1,10,100; too large ones are left out)")
      .flag("subset", "problems without a text are left out; else they are an error")
      .value("time-limit", "CPU seconds of a program on a reference machine (default 3)")
      .value("workers", "programs at once (default: one for each core)")
      .value("python", "interpreter below /usr (default /usr/bin/python3)")
      .flag("unsafe-no-sandbox", "run programs WITHOUT isolation; the result says so");
  if (task.has_sanitiser)
    cli.value("sanitiser",
              "off, on or both: take the program out of the text first (default both)");
  else
    cli.value("split", "test or all (default test)");
  add_scored_run_options(cli);
  return cli;
}

double seconds_option(const ParsedOptions& options, const char* name, double fallback) {
  const std::string text = options.get(name, "");
  const auto value = options.has(name) ? parse_double(text) : fallback;
  if (!value)
    throw ConfigError(name, text, "a number of seconds");
  return *value;
}

std::int64_t count_option(const ParsedOptions& options, const char* name, std::int64_t fallback) {
  const std::string text = options.get(name, "");
  const auto value = options.has(name) ? parse_int(text) : fallback;
  if (!value)
    throw ConfigError(name, text, "a whole number");
  return *value;
}

std::vector<std::int64_t> ks_of(const ParsedOptions& options) {
  std::set<std::int64_t> ks;
  for (const std::string& text : split(options.get("k", "1,10,100"), ',')) {
    const auto k = parse_int(text);
    if (!k || *k < 1)
      throw ConfigError("k", text, "whole numbers from 1, separated by commas");
    ks.insert(*k);
  }
  return {ks.begin(), ks.end()};
}

Sanitising sanitising_of(const std::string& name) {
  if (name == "off")
    return Sanitising::kOff;
  if (name == "on")
    return Sanitising::kOn;
  if (name == "both")
    return Sanitising::kBoth;
  throw ConfigError("sanitiser", name, "off, on or both");
}

std::vector<CodeProblem> split_of(std::vector<CodeProblem> problems, const CodeTask& task,
                                  const ParsedOptions& options) {
  const std::string split = options.get("split", "test");
  if (split != "test" && split != "all")
    throw ConfigError("split", split, "test or all");
  if (split == "all" || task.last_test_id < task.first_test_id)
    return problems;
  std::erase_if(problems, [&](const CodeProblem& problem) {
    const auto number = parse_int(problem.id);
    return !number || *number < task.first_test_id || *number > task.last_test_id;
  });
  if (problems.empty())
    throw ConfigError("split", "test", "all: the file holds no problem of the test set");
  return problems;
}

void read_data(const CodeTask& task, const ParsedOptions& options, Input& input) {
  const std::string path = options.get("data", data_root() + "/" + task.data);
  if (!file_exists(path))
    throw DataError(path, -1, "the problems; set DLMBENCH_DATA, or give --data", "no such file");
  input.data_sha256 = sha256_hex_of_file(path);
  if (!options.has("data") && input.data_sha256 != task.sha256)
    throw DataError(path, -1, fmt::format("SHA-256 {}", task.sha256), input.data_sha256);
  input.problems = split_of(task.read(path), task, options);
}

// The problem of a generated text. A whole number is a place in the split in lm-eval's logs, a
// problem's own number elsewhere.
const CodeProblem& problem_of(const Generation& generation, GenerationFormat format,
                              const std::map<std::string, const CodeProblem*>& by_id,
                              std::span<const CodeProblem> problems) {
  if (format == GenerationFormat::kLmEval && generation.row >= 0 &&
      generation.row < std::ssize(problems))
    return problems[static_cast<std::size_t>(generation.row)];
  const std::string id = generation.row >= 0 ? std::to_string(generation.row) : generation.doc_id;
  if (const auto found = by_id.find(id); found != by_id.end())
    return *found->second;
  const CodeProblem* const found =
      id.empty() ? find_by_prompt(problems, generation.question) : nullptr;
  if (found == nullptr)
    throw DataError(generation.where, -1, "a problem of the task",
                    id.empty() ? "a prompt of none" : id.substr(0, 80));
  return *found;
}

void read_attempts(const ParsedOptions& options, Input& input) {
  GenerationOptions reading;
  reading.format = generation_format(options.get("format", "auto"));
  reading.text_member = options.get("text-member", "");
  reading.verdict_member = options.get("verdict-member", "");
  const GenerationFile file = read_generations(options.get("generations", ""), reading);
  input.generations_sha256 = file.sha256;
  std::map<std::string, const CodeProblem*> by_id;
  for (const CodeProblem& problem : input.problems) by_id[problem.id] = &problem;
  std::set<std::pair<std::string, std::int64_t>> seen;
  for (const Generation& generation : file.generations) {
    const CodeProblem& problem = problem_of(generation, file.format, by_id, input.problems);
    if (!seen.insert({problem.id, generation.sample}).second)
      throw DataError(generation.where, -1, "each sample of a problem once",
                      fmt::format("sample {} of {} again", generation.sample, problem.id));
    CodeAttempt attempt{{&problem, problem.prompt, generation.text}, generation.sample, {}};
    if (file.format == GenerationFormat::kSampleList)
      attempt.code.prompt = generation.question;
    if (const auto verdict = generation.recorded.find(""); verdict != generation.recorded.end())
      attempt.recorded = verdict->second;
    input.attempts.push_back(std::move(attempt));
  }
}

void read_stored_run(const ParsedOptions& options, Input& input) {
  const auto store = open_store_read_only(options);
  const std::string run_id = named_run(*store, options.get("run", ""));
  std::map<std::string, const CodeProblem*> by_id;
  for (const CodeProblem& problem : input.problems) by_id[problem.id] = &problem;
  Json sums = Json::array();
  for (const ExampleRow& row : store->rows(run_id)) {
    const auto found = by_id.find(row.doc_id);
    if (found == by_id.end())
      throw DataError(fmt::format("run {}", run_id), -1, "documents of the task", row.doc_id);
    const CodeProblem& problem = *found->second;
    input.attempts.push_back({{&problem, problem.prompt, row.output}, row.rep, {}});
    sums.push_back({row.doc_id, row.rep, sha256_hex(row.output)});
  }
  const std::vector<Cell> key{run_id};
  const Table model = store->query("SELECT model FROM v_run WHERE run_id = ?", key);
  input.model = std::get<std::string>(model.rows.at(0).at(0).value);
  input.generations_sha256 = sha256_hex(canonical_json(sums));
}

void check_coverage(const ParsedOptions& options, Input& input) {
  std::set<const CodeProblem*> attempted;
  for (const CodeAttempt& attempt : input.attempts) attempted.insert(attempt.code.problem);
  input.is_subset = attempted.size() < input.problems.size();
  if (!input.is_subset || options.has("subset"))
    return;
  const auto missing = std::ranges::find_if(
      input.problems, [&](const CodeProblem& problem) { return !attempted.contains(&problem); });
  throw ConfigError("generations", options.get("generations", options.get("run", "")),
                    fmt::format("texts for all {} problems ({} has none), or --subset",
                                input.problems.size(), missing->id));
}

Input read_input(const CodeTask& task, const ParsedOptions& options) {
  int sources = 0;
  for (const char* source : {"reference", "generations", "run"})
    sources += options.has(source) ? 1 : 0;
  if (sources != 1)
    throw ConfigError("generations", options.get("generations", ""),
                      "a file, --run or --reference; one of the three");
  Input input;
  read_data(task, options, input);
  if (options.has("reference")) {
    for (const CodeProblem& problem : input.problems)
      input.attempts.push_back({{&problem, problem.prompt, problem.reference}, 0, {}});
    input.generations_sha256 = input.data_sha256;
    input.model = "reference";
  } else if (options.has("run")) {
    read_stored_run(options, input);
  } else {
    read_attempts(options, input);
    const std::filesystem::path file = options.get("generations", "");
    input.model = file.filename().string();
  }
  check_coverage(options, input);
  return input;
}

// Texts of a task's prompts end where its prompts say, at the closing fence for one; a log may hold
// what the model wrote after it.
void cut_at_protocol(const CodeTask& task, const ParsedOptions& options, Input& input) {
  const TaskDefinition& protocol = find_task(options.get("protocol", ""));
  if (protocol.data.path != task.data)
    throw ConfigError("protocol", protocol.id, fmt::format("a task on {}", task.data));
  for (CodeAttempt& attempt : input.attempts)
    attempt.code.text.resize(cut_at_stops(attempt.code.text, protocol.stop).size());
}

SandboxOptions sandbox_options(const ParsedOptions& options) {
  SandboxOptions sandbox;
  sandbox.interpreter = options.get("python", sandbox.interpreter);
  sandbox.time_limit_seconds = seconds_option(options, "time-limit", sandbox.time_limit_seconds);
  sandbox.workers = count_option(options, "workers", sandbox.workers);
  if (options.has("unsafe-no-sandbox")) {
    sandbox.isolation = Isolation::kNone;
    log_warning("programs run WITHOUT isolation, as --unsafe-no-sandbox asks");
  }
  return sandbox;
}

}  // namespace

int score_code(const CodeTask& task, const Arguments& args) {
  const auto options = options_of(task).parse(args);
  if (!options)
    return kExitOk;
  const std::string sanitiser = task.has_sanitiser ? options->get("sanitiser", "both") : "off";
  const CodeJudging judging{sanitising_of(sanitiser), ks_of(*options)};
  Input input = read_input(task, *options);
  if (options->has("protocol"))
    cut_at_protocol(task, *options, input);
  Sandbox sandbox(sandbox_options(*options));

  ScoredRun run;
  run.model_name = options->get("model", input.model);
  run.task_name = task.name;
  run.task_version = kTaskVersion;
  run.data_sha256 = input.data_sha256;
  run.generations_sha256 = input.generations_sha256;
  run.settings = {{"sandbox", parse_json(sandbox.settings_json(), "sandbox")},
                  {"k", judging.ks},
                  {"sanitiser", sanitiser},
                  {"split", task.has_sanitiser ? "all" : options->get("split", "test")},
                  {"reference", options->has("reference")},
                  {"format", options->get("format", "auto")},
                  {"text_member", options->get("text-member", "")},
                  {"subset", input.is_subset}};
  if (options->has("protocol"))
    run.settings["stop"] = find_task(options->get("protocol", "")).stop;
  run.environment = {{"sandbox", parse_json(sandbox.environment_json(), "sandbox")}};
  run.n_docs = std::ssize(input.problems);
  run.smoke = input.is_subset;
  run.command = command_line(fmt::format("score {}", task.name), args);
  if (print_stored_run(*options, run))
    return kExitOk;
  CodeScores scores = score_attempts(sandbox, input.attempts, judging);
  run.rows = std::move(scores.rows);
  run.estimates = std::move(scores.estimates);
  run.definitions = std::move(scores.definitions);
  return record_scored_run(*options, run);
}

}  // namespace dlm
