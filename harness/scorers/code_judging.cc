#include "harness/scorers/code_judging.h"

#include <algorithm>
#include <chrono>
#include <string>
#include <utility>

#include "harness/base/error.h"
#include "harness/base/file.h"
#include "harness/base/log.h"
#include "harness/base/text.h"
#include "harness/progress.h"
#include "metrics/pass_at_k.h"

namespace dlm {
namespace {

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

ExampleRow row_of(const CodeAttempt& attempt, const ExecResult& result) {
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

void add_metrics(CodeScores& scores, std::span<const ExampleRow> rows,
                 const PassAtKOptions& options) {
  const PassAtK pass(options);
  const ExecShare shares(options.variant);
  for (const Metric* metric :
       {static_cast<const Metric*>(&pass), static_cast<const Metric*>(&shares)}) {
    for (Estimate& estimate : metric->compute(rows))
      scores.estimates.push_back(std::move(estimate));
    for (MetricDefinition& definition : metric->definitions()) {
      const bool known = std::ranges::any_of(
          scores.definitions,
          [&](const MetricDefinition& other) { return other.metric == definition.metric; });
      if (!known)
        scores.definitions.push_back(std::move(definition));
    }
  }
}

std::vector<ExampleRow> judge_as_given(Sandbox& sandbox, std::span<const CodeAttempt> attempts) {
  std::vector<SandboxProgram> programs;
  for (const CodeAttempt& attempt : attempts) {
    const CodeText& code = attempt.code;
    programs.push_back(completed_program(*code.problem, code.prompt, code.text));
  }
  const std::vector<ExecResult> results = execute(sandbox, programs, "programs");
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
std::vector<ExampleRow> judge_sanitised(Sandbox& sandbox, std::span<const CodeAttempt> attempts) {
  std::vector<CodeText> texts;
  for (const CodeAttempt& attempt : attempts) texts.push_back(attempt.code);
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

CodeScores score_attempts(Sandbox& sandbox, std::span<const CodeAttempt> attempts,
                          const CodeJudging& judging) {
  CodeScores scores;
  if (judging.sanitising != Sanitising::kOn) {
    scores.rows = judge_as_given(sandbox, attempts);
    add_metrics(scores, scores.rows, {judging.ks, ""});
  }
  if (judging.sanitising != Sanitising::kOff) {
    std::vector<ExampleRow> rows = judge_sanitised(sandbox, attempts);
    add_metrics(scores, rows, {judging.ks, "sanitised"});
    if (judging.sanitising == Sanitising::kOn)
      scores.rows = std::move(rows);
  }
  return scores;
}

}  // namespace dlm
