// Programming problems whose answers are run: HumanEval and MBPP, and what program a generated
// text makes of one.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "tasks/sandbox/sandbox.h"

namespace dlm {

struct CodeProblem {
  std::string id;         // "HumanEval/0"; of MBPP the number as text
  std::string prompt;     // begins the program; empty where the model writes all of it (MBPP)
  std::string reference;  // what follows the prompt in the authors' solution
  std::string checks;     // run after the program
  std::vector<std::string> tested;  // names of the program's that the checks are about
};

// HumanEval's file or one of its form (JSON lines, gzip or plain): task_id, prompt, entry_point,
// canonical_solution, test. The checks are the test and `check(entry_point)`. Throws DataError for
// a missing member, no row, an id twice, an entry_point that is no Python name.
std::vector<CodeProblem> read_humaneval(const std::string& path);

// MBPP's file: task_id, code, test_setup_code, test_list. The checks are the set-up code and the
// asserts. Throws DataError likewise.
std::vector<CodeProblem> read_mbpp(const std::string& path);

// The problem that a prompt belongs to: it is the prompt, or the prompt with examples left out of
// its text (as CodeT's files have it), told by the line of the last `def` at the left margin and,
// where several have that, by the longest common beginning. Nothing where none or several fit.
const CodeProblem* find_by_prompt(std::span<const CodeProblem> problems, std::string_view prompt);

// Source: openai/human-eval execution.py: prompt + completion, then the test; the two are compiled
// apart here, so that no open string or bracket can swallow the test.
SandboxProgram completed_program(const CodeProblem& problem, std::string_view prompt,
                                 std::string_view completion);

// A generated text and the problem it answers.
struct CodeText {
  const CodeProblem* problem = nullptr;
  std::string prompt;  // the problem's, or the one that the model was given
  std::string text;
};

// What the sanitiser of Dream and Fast-dLLM (after EvalPlus) makes of a text: what stands before
// the next fence, after the first Python fence where there is one, behind the prompt; of the first
// 100 lines the range that is Python and has the most lines; of that the imports, and the
// definitions and assignments that the tested name reaches; printed anew from the syntax tree. Runs
// in the sandbox. A text on which it failed (its time ran out) is empty, and `failed` says why.
struct SanitisedText {
  std::string program;
  std::string failed;
};

std::vector<SanitisedText> sanitise(Sandbox& sandbox, std::span<const CodeText> texts);

}  // namespace dlm
