#include "tasks/code_problem.h"

#include <array>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "harness/base/error.h"
#include "harness/base/file.h"
#include "harness/base/gzip.h"
#include "harness/base/json.h"
#include "tasks/generations.h"
#include "tasks/jsonl.h"
#include "tests/support/data.h"
#include "tests/tasks/sandbox/open_sandbox.h"

namespace dlm {
namespace {

constexpr const char* kHumanEval = "data/humaneval/HumanEval.jsonl.gz";

class CodeFile : public ::testing::Test {
 protected:
  std::string write(std::string_view text) const {
    const std::string path = folder_.file("problems.jsonl");
    write_file_atomically(path, text);
    return path;
  }

  static std::string error_of(auto&& read) {
    try {
      read();
    } catch (const DataError& error) {
      const std::string text = error.what();
      return text.substr(text.find("expected"));
    }
    return "no error";
  }

  testing::TemporaryFolder folder_;
};

TEST_F(CodeFile, IsReadAsHumanEval) {
  const auto problems = read_humaneval(
      write(R"({"task_id":"t/0","prompt":"def f():\n","entry_point":"f",)"
            R"("canonical_solution":"    return 1","test":"def check(g):\n    assert g() == 1"})"));
  ASSERT_EQ(problems.size(), 1U);
  EXPECT_EQ(problems[0].checks, "def check(g):\n    assert g() == 1\ncheck(f)");
  EXPECT_EQ(problems[0].tested, std::vector<std::string>{"f"});
  const SandboxProgram program = completed_program(problems[0], problems[0].prompt, "    return 2");
  EXPECT_EQ(program.source, "def f():\n    return 2\n");
}

TEST_F(CodeFile, IsReadAsMbpp) {
  const auto problems = read_mbpp(
      write(R"({"task_id":7,"text":"x","code":"class A:\r\n  pass\r\ndef sum(a):\r\n )"
            R"( return a","test_setup_code":"n = 1","test_list":["assert sum(n) == 1"]})"));
  ASSERT_EQ(problems.size(), 1U);
  EXPECT_EQ(problems[0].id, "7");
  EXPECT_EQ(problems[0].checks, "n = 1\nassert sum(n) == 1");
  EXPECT_EQ(problems[0].tested, (std::vector<std::string>{"A", "sum"}));
}

TEST_F(CodeFile, IsRefusedWhereItIsWrong) {
  const std::string row = R"({"task_id":"a","prompt":"","entry_point":"f; import os",)"
                          R"("canonical_solution":"","test":""})";
  EXPECT_EQ(error_of([&] { read_humaneval(write(row)); }),
            "expected a Python name as entry_point, found f; import os");
  EXPECT_NE(error_of([&] { read_humaneval(write(R"({"task_id":"a"})")); }), "no error");
  EXPECT_EQ(error_of([&] {
              read_mbpp(write(R"({"task_id":1,"code":"","test_setup_code":"","test_list":[]})"));
            }),
            "expected a list 'test_list' that is not empty, found none");
  const std::string good = R"({"task_id":1,"code":"","test_setup_code":"","test_list":["pass"]})";
  EXPECT_EQ(error_of([&] { read_mbpp(write(good + "\n" + good)); }),
            "expected each task_id once, found 1 again");
  EXPECT_NE(error_of([&] {
              read_mbpp(write(R"({"task_id":1,"code":"","test_setup_code":"","test_list":[1]})"));
            }),
            "no error");
}

TEST(CodePrompt, IsFoundWithItsExamplesLeftOut) {
  const std::array problems{
      CodeProblem{
          "0", "def g():\n\ndef f(a):\n    \"\"\"Sum\n    >>> f(1)\n    \"\"\"\n", "", "", {"f"}},
      CodeProblem{"1", "def f(a):\n    \"\"\"Product\n    \"\"\"\n", "", "", {"f"}},
      CodeProblem{"2", "def h(a):\n    \"\"\"Sum\n    \"\"\"\n", "", "", {"h"}},
      CodeProblem{"3", "def h(a):\n    \"\"\"Sum\n    >>> h(1)\n    \"\"\"\n", "", "", {"h"}}};
  EXPECT_EQ(find_by_prompt(problems, "def g():\n\ndef f(a):\n    \"\"\"Sum\n    \"\"\"\n")->id,
            "0");
  EXPECT_EQ(find_by_prompt(problems, "def f(a):\n    \"\"\"Pro\n    \"\"\"\n")->id, "1");
  EXPECT_EQ(find_by_prompt(problems, problems[2].prompt)->id, "2");  // it is the prompt
  EXPECT_EQ(find_by_prompt(problems, "def h(a):\n    \"\"\"Summe\n"), nullptr);
  EXPECT_EQ(find_by_prompt(problems, "def other(a):\n"), nullptr);
  EXPECT_EQ(find_by_prompt(problems, ""), nullptr);
}

std::string sanitised(const std::string& prompt, const std::string& text) {
  const CodeProblem problem{"p", prompt, "", "", {"f"}};
  const std::array texts{CodeText{&problem, prompt, text}};
  const SanitisedText result = sanitise(testing::small_sandbox(), texts).front();
  return result.failed.empty() ? result.program : "failed: " + result.failed;
}

TEST(Sanitiser, TakesTheProgramOutOfAChat) {
  DLM_REQUIRE_SANDBOX();
  EXPECT_EQ(sanitised("", "Sure!\n```python\nimport re\ndef f(x):\n\treturn re.x(x)\n```\nDone."),
            "import re\n\ndef f(x):\n    return re.x(x)");
  EXPECT_EQ(sanitised("def f(x):\n", "    return 1\n\nIt returns one, you see.\n"),
            "def f(x):\n    return 1");
  EXPECT_EQ(sanitised("def f(x):\n", "    return 1\n```\ndef f(x):\n    return 2"),
            "def f(x):\n    return 1");
  EXPECT_EQ(sanitised("", "no program at all!"), "");
}

TEST(Sanitiser, KeepsWhatTheTestedNameReaches) {
  DLM_REQUIRE_SANDBOX();
  EXPECT_EQ(sanitised("",
                      "import os\n"
                      "def f():\n    return helper(LIMIT) + Box().value\n"
                      "def helper(x):\n    return x\n"
                      "def unused():\n    return 1\n"
                      "def procedure():\n    pass\n"
                      "async def later():\n    return 1\n"
                      "class Box:\n    value = 1\n"
                      "class value:\n    pass\n"
                      "LIMIT = 2\nOTHER = 3\nprint(f())\nassert f() == 1\n"),
            "import os\n\ndef f():\n    return helper(LIMIT) + Box().value\n\n"
            "def helper(x):\n    return x\n\nclass value:\n    pass\nLIMIT = 2");
}

TEST(Sanitiser, LooksAtAHundredLinesAndPrefersTheFirstOfTheLongest) {
  DLM_REQUIRE_SANDBOX();
  EXPECT_EQ(sanitised("", "def f():\n    return 1\n)\ndef f():\n    return 2\n"),
            "def f():\n    return 1");
  std::string text;
  for (int i = 0; i < 100; ++i) text += fmt::format("# {}\n", i);
  EXPECT_EQ(sanitised("", text + "f = 1\nf = 2\n"), "");
  text.erase(0, text.find('\n') + 1);
  EXPECT_EQ(sanitised("", text + "f = 1\nf = 2\n"), "f = 1");
}

TEST(Sanitiser, SurvivesHostileTexts) {
  DLM_REQUIRE_SANDBOX();
  EXPECT_EQ(sanitised("", "f = " + std::string(200000, '(')), "");
  EXPECT_EQ(sanitised("", "f = " + std::string(200000, '-') + "1"), "");
  EXPECT_EQ(sanitised("", std::string("f = '\0'", 7)), "");
  EXPECT_EQ(sanitised("", "f = '\xFF'").substr(0, 4), "fail");
}

// Fixtures and public generations.

std::vector<ExecResult> run_all(Sandbox& sandbox, std::span<const CodeProblem> problems,
                                std::span<const Generation> generations) {
  std::map<std::string, const CodeProblem*> by_id;
  for (const CodeProblem& problem : problems) by_id[problem.id] = &problem;
  std::vector<SandboxProgram> programs;
  for (const Generation& generation : generations) {
    const CodeProblem& problem = *by_id.at(generation.doc_id);
    programs.push_back(completed_program(problem, problem.prompt, generation.text));
  }
  return sandbox.run(programs);
}

std::int64_t passed_references(std::span<const CodeProblem> problems) {
  std::vector<SandboxProgram> programs;
  for (const CodeProblem& problem : problems)
    programs.push_back(completed_program(problem, problem.prompt, problem.reference));
  std::int64_t passed = 0;
  const auto results = testing::usual_sandbox().run(programs);
  for (std::size_t i = 0; i < results.size(); ++i) {
    passed += results[i].status == ExecStatus::kPassed ? 1 : 0;
    if (results[i].status != ExecStatus::kPassed)
      ADD_FAILURE() << problems[i].id << ": " << results[i].detail;
  }
  return passed;
}

// Where the original's executor is wrong, or forbids what a sandbox need not, we differ.
const std::map<std::string, ExecStatus>& known_differences() {
  static const std::map<std::string, ExecStatus> kDifferences{
      // Passes there: its timer fires once and can be caught.
      {"timeout_swallowed_then_correct", ExecStatus::kTimeout},
      // "timed out" there: the process goes without a word.
      {"os_exit_0", ExecStatus::kCrashed},
      // Fail there: it sets os.remove, os.fork and subprocess.Popen to None.
      {"remove_file", ExecStatus::kPassed},
      {"forks", ExecStatus::kPassed},
      {"subprocess", ExecStatus::kPassed},
      // Passes there: nothing is isolated.
      {"socket", ExecStatus::kWrong}};
  return kDifferences;
}

ExecStatus expected_status(const Json& verdict) {
  const auto known = known_differences().find(verdict["behaviour"].get<std::string>());
  if (known != known_differences().end())
    return known->second;
  const std::string name = verdict["verdict"];
  return name == "passed"   ? ExecStatus::kPassed
         : name == "failed" ? ExecStatus::kWrong
                            : ExecStatus::kTimeout;
}

TEST(ExecGolden, VerdictsAreThoseOfTheOfficialExecutorOrBetter) {
  DLM_REQUIRE_DATA("fixtures/humaneval_exec");
  DLM_REQUIRE_SANDBOX();
  const std::string folder = testing::data_path("fixtures/humaneval_exec/");
  const auto problems = read_humaneval(folder + "problems.jsonl");
  const auto file = read_generations(folder + "samples.jsonl", {});
  std::vector<Json> verdicts;
  for_each_json_row(read_text_file(folder + "verdicts.jsonl"), "verdicts",
                    [&](const Json& row, const std::string&) { verdicts.push_back(row); });
  ASSERT_EQ(file.generations.size(), verdicts.size());
  const auto results = run_all(testing::small_sandbox(), problems, file.generations);
  std::size_t differ = 0;
  for (std::size_t i = 0; i < results.size(); ++i) {
    EXPECT_STREQ(status_name(results[i].status), status_name(expected_status(verdicts[i])))
        << verdicts[i]["behaviour"] << ": " << results[i].detail;
    differ += known_differences().count(verdicts[i]["behaviour"]);
  }
  EXPECT_EQ(differ, known_differences().size());
}

TEST(ExecGolden, HumanEvalsOwnSolutionsPass) {
  DLM_REQUIRE_DATA(kHumanEval);
  DLM_REQUIRE_SANDBOX();
  const auto problems = read_humaneval(testing::data_path(kHumanEval));
  EXPECT_EQ(passed_references(problems), 164);
}

TEST(ExecGolden, ExampleSamplesAreHalfRight) {
  DLM_REQUIRE_DATA("data/humaneval/example_samples.jsonl");
  DLM_REQUIRE_SANDBOX();
  const auto problems = read_humaneval(testing::data_path("data/humaneval/example_problem.jsonl"));
  const auto file =
      read_generations(testing::data_path("data/humaneval/example_samples.jsonl"), {});
  std::string statuses;
  for (const ExecResult& result : run_all(testing::small_sandbox(), problems, file.generations))
    statuses += status_name(result.status) + std::string(" ");
  EXPECT_EQ(statuses, "wrong timeout wrong passed passed passed ");
}

TEST(ExecGolden, WizardCodersRowsAreAsPublished) {
  const std::string path = "data/generations/wizardcoder/T0.0_N1_reproduce.results.59.8.jsonl";
  DLM_REQUIRE_DATA(path);
  DLM_REQUIRE_SANDBOX();
  GenerationOptions options;
  options.text_member = "completion";
  options.verdict_member = "passed";
  const auto file = read_generations(testing::data_path(path), options);
  const auto problems = read_humaneval(testing::data_path(kHumanEval));
  const auto results = run_all(testing::usual_sandbox(), problems, file.generations);
  std::int64_t passed = 0;
  for (std::size_t i = 0; i < results.size(); ++i) {
    const bool here = results[i].status == ExecStatus::kPassed;
    EXPECT_EQ(here, file.generations[i].recorded.at("")) << file.generations[i].doc_id;
    passed += here ? 1 : 0;
  }
  EXPECT_EQ(passed, 98);
}

TEST(ExecSlowGolden, MbppsOwnSolutionsPass) {
  DLM_REQUIRE_DATA("data/mbpp/mbpp.jsonl");
  DLM_REQUIRE_SANDBOX();
  EXPECT_EQ(passed_references(read_mbpp(testing::data_path("data/mbpp/mbpp.jsonl"))), 974);
}

}  // namespace
}  // namespace dlm
