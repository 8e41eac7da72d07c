// `score humaneval`, `score mbpp`: runs generated programs in the sandbox.
#pragma once

#include <string>
#include <vector>

#include "harness/commands/command.h"
#include "tasks/code_problem.h"

namespace dlm {

struct CodeTask {
  const char* name;
  const char* about;   // the command's help
  const char* data;    // below the data folder
  const char* sha256;  // of that file
  std::vector<CodeProblem> (*read)(const std::string& path);
  bool has_sanitiser;
  // Of the problems' numbers, those that are the test set; all where last < first.
  std::int64_t first_test_id, last_test_id;
};

// The exit code. Throws ConfigError, DataError, SandboxUnavailable.
int score_code(const CodeTask& task, const Arguments& args);

int score_humaneval(const Arguments& args);
int score_mbpp(const Arguments& args);

}  // namespace dlm
