#include "harness/scorers/code_scorer.h"

#include <algorithm>
#include <chrono>
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
#include "harness/data_root.h"
#include "harness/progress.h"
#include "harness/scorers/answer_tasks.h"
#include "harness/scorers/scored_run.h"
#include "metrics/pass_at_k.h"
#include "tasks/generations.h"

namespace dlm {
namespace {

constexpr std::int64_t kTaskVersion = 1;

// One text to be judged, and which sample of its problem it is.
struct Attempt {
  CodeText code;
  std::int64_t sample = 0;
  std::optional<bool> recorded;  // the file's own verdict
};

struct Input {
  std::vector<CodeProblem> problems;  // of the split
  std::string data_sha256;
  std::vector<Attempt> attempts;
  std::string generations_sha256;
  bool is_subset = false;
};

CommandOptions options_of(const CodeTask& task) {
  CommandOptions cli(fmt::format("score {}", task.name), task.about);
  cli.value("generations", "file of generated texts, JSON lines or gzip of them")
      .value("format", "auto, jsonl, lm_eval, humaneval, samples (default auto)")
      .value("text-member", "member that holds the text, where it can not be told")
      .value("verdict-member", "member with the file's own verdict, to be compared")
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

template <class T>
T number_option(const ParsedOptions& options, const char* name, T fallback) {
  if (!options.has(name))
    return fallback;
  const std::string text = options.get(name, "");
  const auto value = parse_double(text);
  if (!value || *value != static_cast<double>(static_cast<T>(*value)))
    throw ConfigError(name, text, "a number");
  return static_cast<T>(*value);
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
    Attempt attempt{{&problem, problem.prompt, generation.text}, generation.sample, {}};
    if (file.format == GenerationFormat::kSampleList)
      attempt.code.prompt = generation.question;
    if (const auto verdict = generation.recorded.find(""); verdict != generation.recorded.end())
      attempt.recorded = verdict->second;
    input.attempts.push_back(std::move(attempt));
  }
}

void check_coverage(const ParsedOptions& options, Input& input) {
  std::set<const CodeProblem*> attempted;
  for (const Attempt& attempt : input.attempts) attempted.insert(attempt.code.problem);
  input.is_subset = attempted.size() < input.problems.size();
  if (!input.is_subset || options.has("subset"))
    return;
  const auto missing = std::ranges::find_if(
      input.problems, [&](const CodeProblem& problem) { return !attempted.contains(&problem); });
  throw ConfigError("generations", options.get("generations", ""),
                    fmt::format("texts for all {} problems ({} has none), or --subset",
                                input.problems.size(), missing->id));
}

Input read_input(const CodeTask& task, const ParsedOptions& options) {
  if (options.has("reference") == options.has("generations"))
    throw ConfigError("generations", options.get("generations", ""),
                      "a file, or --reference; one of the two");
  Input input;
  read_data(task, options, input);
  if (options.has("reference")) {
    for (const CodeProblem& problem : input.problems)
      input.attempts.push_back({{&problem, problem.prompt, problem.reference}, 0, {}});
    input.generations_sha256 = input.data_sha256;
  } else {
    read_attempts(options, input);
  }
  check_coverage(options, input);
  return input;
}

SandboxOptions sandbox_options(const ParsedOptions& options) {
  SandboxOptions sandbox;
  sandbox.interpreter = options.get("python", sandbox.interpreter);
  sandbox.time_limit_seconds = number_option(options, "time-limit", sandbox.time_limit_seconds);
  sandbox.workers = number_option(options, "workers", sandbox.workers);
  if (options.has("unsafe-no-sandbox")) {
    sandbox.isolation = Isolation::kNone;
    log_warning("programs run WITHOUT isolation, as --unsafe-no-sandbox asks");
  }
  return sandbox;
}

// Verdicts on programs, with a live line of the share that passed. A sandbox that failed twice on a
// program is an error of the run: it is no wrong answer.
std::vector<ExecResult> execute(Sandbox& sandbox, std::span<const SandboxProgram> programs,
                                const std::string& what) {
  const auto start = std::chrono::steady_clock::now();
  Progress progress(what, "programs", 0, static_cast<double>(programs.size()));
  std::int64_t done = 0, passed = 0;
  double limited_seconds = 0;
  std::vector<ExecResult> results =
      sandbox.run(programs, [&](std::size_t, const ExecResult& result) {
        ++done;
        passed += result.status == ExecStatus::kPassed ? 1 : 0;
        if (result.status == ExecStatus::kTimeout)
          limited_seconds += result.wall_seconds;
        progress.update(static_cast<double>(done), fmt::format("{} of {} passed", passed, done));
      });
  std::int64_t starved = 0;
  for (const ExecResult& result : results) {
    if (result.status == ExecStatus::kSandboxError)
      throw Error(fmt::format("the sandbox failed, nothing is scored: {}", result.detail));
    starved += result.starved ? 1 : 0;
  }
  if (starved > 0)
    log_warning(
        fmt::format("{} programs ran out of time because this machine was busy, twice: "
                    "their verdicts may be wrong",
                    starved));
  const std::chrono::duration<double> taken = std::chrono::steady_clock::now() - start;
  log_info("{}: {} programs in {}; workers waited {} for programs that ran into their limit", what,
           programs.size(), duration_text(taken.count()), duration_text(limited_seconds));
  return results;
}

ExampleRow row_of(const Attempt& attempt, const ExecResult& result) {
  const CodeProblem& problem = *attempt.code.problem;
  ExampleRow row;
  row.doc_id = problem.id;
  row.rep = attempt.sample;
  row.doc_sha = sha256_hex(problem.prompt + '\0' + problem.checks);
  row.cluster = problem.id;
  row.score = result.status == ExecStatus::kPassed ? 1 : 0;
  row.exec_status = status_name(result.status);
  row.wall_ns = static_cast<std::int64_t>(1e9 * result.wall_seconds);
  row.output = replace_invalid_utf8(attempt.code.text);
  return row;
}

void add_metrics(ScoredRun& run, std::span<const ExampleRow> rows, const PassAtKOptions& options) {
  const PassAtK pass(options);
  const ExecShare shares(options.variant);
  for (const Metric* metric :
       {static_cast<const Metric*>(&pass), static_cast<const Metric*>(&shares)}) {
    for (Estimate& estimate : metric->compute(rows)) run.estimates.push_back(std::move(estimate));
    for (MetricDefinition& definition : metric->definitions()) {
      const bool known = std::ranges::any_of(run.definitions, [&](const MetricDefinition& other) {
        return other.metric == definition.metric;
      });
      if (!known)
        run.definitions.push_back(std::move(definition));
    }
  }
}

std::vector<ExampleRow> judge(Sandbox& sandbox, std::span<const Attempt> attempts,
                              const std::string& what) {
  std::vector<SandboxProgram> programs;
  for (const Attempt& attempt : attempts) {
    const CodeText& code = attempt.code;
    programs.push_back(completed_program(*code.problem, code.prompt, code.text));
  }
  const std::vector<ExecResult> results = execute(sandbox, programs, what);
  std::vector<ExampleRow> rows;
  std::int64_t differing = 0, compared = 0;
  for (std::size_t i = 0; i < results.size(); ++i) {
    rows.push_back(row_of(attempts[i], results[i]));
    if (!attempts[i].recorded)
      continue;
    ++compared;
    if (*attempts[i].recorded == (results[i].status == ExecStatus::kPassed))
      continue;
    ++differing;
    log_info("{} sample {}: {} here ({}), {} in the file", rows.back().doc_id, rows.back().rep,
             rows.back().exec_status, results[i].detail,
             *attempts[i].recorded ? "passed" : "failed");
  }
  if (compared > 0)
    log_info("{} of {} verdicts differ from the file's", differing, compared);
  return rows;
}

// The same attempts, with the program that the sanitiser takes out of each text.
std::vector<ExampleRow> judge_sanitised(Sandbox& sandbox, std::span<const Attempt> attempts) {
  std::vector<CodeText> texts;
  for (const Attempt& attempt : attempts) texts.push_back(attempt.code);
  const std::vector<SanitisedText> sanitised = sanitise(sandbox, texts);
  std::vector<SandboxProgram> programs;
  std::int64_t failed = 0;
  for (std::size_t i = 0; i < texts.size(); ++i) {
    programs.push_back(completed_program(*texts[i].problem, "", sanitised[i].program));
    failed += sanitised[i].failed.empty() ? 0 : 1;
  }
  if (failed > 0)
    log_warning(fmt::format("the sanitiser failed on {} texts; they count as empty", failed));
  const std::vector<ExecResult> results = execute(sandbox, programs, "sanitised");
  std::vector<ExampleRow> rows;
  for (std::size_t i = 0; i < results.size(); ++i) rows.push_back(row_of(attempts[i], results[i]));
  return rows;
}

}  // namespace

int score_code(const CodeTask& task, const Arguments& args) {
  const auto options = options_of(task).parse(args);
  if (!options)
    return kExitOk;
  const std::string sanitiser = task.has_sanitiser ? options->get("sanitiser", "both") : "off";
  if (sanitiser != "off" && sanitiser != "on" && sanitiser != "both")
    throw ConfigError("sanitiser", sanitiser, "off, on or both");
  const std::vector<std::int64_t> ks = ks_of(*options);
  const Input input = read_input(task, *options);
  Sandbox sandbox(sandbox_options(*options));

  ScoredRun run;
  const std::filesystem::path file = options->get("generations", "reference");
  run.model_name = options->get("model", file.filename().string());
  run.task_name = task.name;
  run.task_version = kTaskVersion;
  run.data_sha256 = input.data_sha256;
  run.generations_sha256 = input.generations_sha256;
  run.settings = {{"sandbox", parse_json(sandbox.settings_json(), "sandbox")},
                  {"k", ks},
                  {"sanitiser", sanitiser},
                  {"split", task.has_sanitiser ? "all" : options->get("split", "test")},
                  {"reference", options->has("reference")},
                  {"subset", input.is_subset}};
  run.environment = {{"sandbox", parse_json(sandbox.environment_json(), "sandbox")}};
  run.n_docs = std::ssize(input.problems);
  run.smoke = input.is_subset;
  run.command = command_line(fmt::format("score {}", task.name), args);
  if (print_stored_run(*options, run))
    return kExitOk;
  if (sanitiser != "on") {
    run.rows = judge(sandbox, input.attempts, task.name);
    add_metrics(run, run.rows, {ks, ""});
  }
  if (sanitiser != "off") {
    std::vector<ExampleRow> rows = judge_sanitised(sandbox, input.attempts);
    add_metrics(run, rows, {ks, "sanitised"});
    if (sanitiser == "on")
      run.rows = std::move(rows);
  }
  return record_scored_run(*options, run);
}

}  // namespace dlm
