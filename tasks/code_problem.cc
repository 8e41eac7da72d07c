#include "tasks/code_problem.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <set>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "harness/base/error.h"
#include "harness/base/gzip.h"
#include "harness/base/json.h"
#include "harness/base/text.h"
#include "tasks/jsonl.h"

namespace dlm {

namespace embedded {
extern const std::string_view sanitise_tool;
}

namespace {

using RowReader = CodeProblem (*)(const Json& row, const std::string& where);

std::vector<CodeProblem> read_problems(const std::string& path, RowReader read_row) {
  std::vector<CodeProblem> problems;
  std::set<std::string> ids;
  const std::string text = read_text_file(path);
  for_each_json_row(text, path, [&](const Json& row, const std::string& where) {
    problems.push_back(read_row(row, where));
    if (!ids.insert(problems.back().id).second)
      throw DataError(where, -1, "each task_id once", problems.back().id + " again");
  });
  return problems;
}

bool is_name(std::string_view text) {
  const auto is_letter = [](char c) {
    return std::isalpha(static_cast<unsigned char>(c)) != 0 || c == '_';
  };
  return !text.empty() && is_letter(text.front()) && std::ranges::all_of(text, [&](char c) {
    return is_letter(c) || std::isdigit(static_cast<unsigned char>(c)) != 0;
  });
}

CodeProblem read_humaneval_row(const Json& row, const std::string& where) {
  const std::string entry = json_string(row, "entry_point", where);
  if (!is_name(entry))
    throw DataError(where, -1, "a Python name as entry_point", entry.substr(0, 80));
  return {json_string(row, "task_id", where),
          json_string(row, "prompt", where),
          json_string(row, "canonical_solution", where),
          fmt::format("{}\ncheck({})", json_string(row, "test", where), entry),
          {entry}};
}

// Names that lines "def NAME(" and "class NAME" define at the left margin.
std::vector<std::string> defined_names(std::string_view code) {
  std::vector<std::string> names;
  for (const std::string& line : split(code, '\n')) {
    for (const std::string_view keyword : {"def ", "class "}) {
      if (!line.starts_with(keyword))
        continue;
      const std::size_t end = line.find_first_of("(:\r ", keyword.size());
      const std::string name = line.substr(keyword.size(), end - keyword.size());
      if (is_name(name))
        names.push_back(name);
    }
  }
  return names;
}

// The last line that defines a function at the left margin; empty where there is none.
std::string_view last_signature(std::string_view prompt) {
  const std::size_t at = prompt.rfind("\ndef ");
  const std::size_t begin = at != std::string_view::npos ? at + 1
                            : prompt.starts_with("def ") ? 0
                                                         : prompt.size();
  return prompt.substr(begin, prompt.find('\n', begin) - begin);
}

std::size_t common_beginning(std::string_view a, std::string_view b) {
  return static_cast<std::size_t>(std::ranges::mismatch(a, b).in1 - a.begin());
}

// The text up to the next fence, after the first Python fence where there is one.
std::string_view unfenced(std::string_view text) {
  constexpr std::string_view kOpening = "```python\n";
  if (const std::size_t at = text.find(kOpening); at != std::string_view::npos)
    text.remove_prefix(at + kOpening.size());
  return text.substr(0, text.find("```"));
}

CodeProblem read_mbpp_row(const Json& row, const std::string& where) {
  CodeProblem problem;
  problem.id = std::to_string(json_int(row, "task_id", where));
  problem.reference = json_string(row, "code", where);
  problem.checks = json_string(row, "test_setup_code", where);
  const Json* const tests = find_path(row, "test_list");
  if (tests == nullptr || !tests->is_array() || tests->empty())
    throw DataError(where, -1, "a list 'test_list' that is not empty", "none");
  for (const Json& test : *tests) {
    if (!test.is_string())
      throw DataError(where, -1, "texts in 'test_list'", canonical_json(test).substr(0, 80));
    problem.checks += "\n" + test.get<std::string>();
  }
  problem.tested = defined_names(problem.reference);
  return problem;
}

}  // namespace

std::vector<CodeProblem> read_humaneval(const std::string& path) {
  return read_problems(path, read_humaneval_row);
}

std::vector<CodeProblem> read_mbpp(const std::string& path) {
  return read_problems(path, read_mbpp_row);
}

const CodeProblem* find_by_prompt(std::span<const CodeProblem> problems, std::string_view prompt) {
  const std::string_view signature = last_signature(prompt);
  const CodeProblem* best = nullptr;
  std::size_t longest = 0;
  bool is_only = false;
  for (const CodeProblem& problem : problems) {
    if (problem.prompt == prompt)
      return &problem;
    if (signature.empty() || last_signature(problem.prompt) != signature)
      continue;
    const std::size_t common = common_beginning(problem.prompt, prompt);
    if (best == nullptr || common > longest) {
      best = &problem;
      longest = common;
      is_only = true;
    } else if (common == longest) {
      is_only = false;
    }
  }
  return is_only ? best : nullptr;
}

SandboxProgram completed_program(const CodeProblem& problem, std::string_view prompt,
                                 std::string_view completion) {
  return {fmt::format("{}{}\n", prompt, completion), problem.checks, problem.tested};
}

std::vector<SanitisedText> sanitise(Sandbox& sandbox, std::span<const CodeText> texts) {
  std::vector<std::string> inputs;
  for (const CodeText& text : texts) {
    DLM_CHECK(!text.problem->tested.empty(), "problem {} tests no name", text.problem->id);
    inputs.push_back(
        fmt::format("{}\n{}\n{}", text.problem->tested.front(), text.prompt, unfenced(text.text)));
  }
  std::vector<SanitisedText> sanitised;
  for (Sandbox::Answer& answer : sandbox.apply(std::string(embedded::sanitise_tool), inputs)) {
    const bool good = answer.result.status == ExecStatus::kPassed;
    sanitised.push_back({std::move(answer.text), good ? "" : answer.result.detail});
  }
  return sanitised;
}

}  // namespace dlm
