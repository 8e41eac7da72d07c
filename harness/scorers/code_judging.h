// Generated programs become rows and estimates, by running them in the sandbox. What `score` uses,
// and whatever else has texts for a programming task.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "harness/base/record.h"
#include "tasks/code_problem.h"

namespace dlm {

// One text to be judged, and which sample of its problem it is.
struct CodeAttempt {
  CodeText code;
  std::int64_t sample = 0;
  std::optional<bool> recorded;  // a verdict that came with it
};

enum class Sanitising { kOff, kOn, kBoth };

struct CodeJudging {
  Sanitising sanitising = Sanitising::kOff;
  std::vector<std::int64_t> ks{1};  // of pass@k
};

// Rows carry the verdicts on the texts as they are, or with kOn on the sanitised ones; estimates
// are pass_at_k and exec_share, with kBoth of either, told apart by the variant.
struct CodeScores {
  std::vector<ExampleRow> rows;
  std::vector<Estimate> estimates;
  std::vector<MetricDefinition> definitions;
};

// Logs progress, verdicts that differ from the recorded ones, and programs that were starved.
// Throws Error where the sandbox failed on a program (it is no wrong answer), SandboxUnavailable,
// and ConfigError where no k fits the number of samples.
CodeScores score_attempts(Sandbox& sandbox, std::span<const CodeAttempt> attempts,
                          const CodeJudging& judging);

}  // namespace dlm
