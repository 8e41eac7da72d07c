// `score gsm8k` and `score math`, and the options that `rescore` shares with them.
#pragma once

#include <string>

#include "harness/commands/command.h"
#include "harness/scorers/answers.h"

namespace dlm {

int score_gsm8k(const Arguments& args);
int score_math(const Arguments& args);

// --protocol or --definition, --extractor, --keep-stops, --majority.
void add_answer_options(CommandOptions& cli);
AnswerOptions answer_options(const ParsedOptions& options);

// The task of --definition FILE, else of --protocol, else of `fallback`. Throws ConfigError,
// DataError.
TaskDefinition task_of(const ParsedOptions& options, const std::string& fallback);

}  // namespace dlm
