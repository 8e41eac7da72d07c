#include "harness/answer_verdicts.h"

#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "harness/base/error.h"
#include "harness/data_root.h"
#include "tasks/code_problem.h"
#include "tasks/definition.h"
#include "tests/support/data.h"
#include "tests/tasks/sandbox/open_sandbox.h"

namespace dlm {
namespace {

// A right answer to a prompt that opened a fence: the authors' code, the closing fence, a remark.
constexpr const char* kRemark = "\n```\nThis function does what was asked: it's done.\n";

std::vector<ExampleRow> authors_answers(const Task& task, std::size_t count) {
  const TaskDefinition& definition = task.definition();
  const std::string path = data_root() + "/" + definition.data.path;
  const bool is_mbpp = definition.id.starts_with("mbpp");
  std::vector<ExampleRow> rows;
  for (const CodeProblem& problem : is_mbpp ? read_mbpp(path) : read_humaneval(path)) {
    if (!task.find_id(problem.id) || rows.size() == count)
      continue;
    ExampleRow row;
    row.doc_id = problem.id;
    row.output = problem.reference;
    rows.push_back(row);
  }
  return rows;
}

double right_share(std::vector<ExampleRow> rows, const std::string& task_id,
                   const AnswerSpec& spec = {}) {
  const Task task = load_task(find_task(task_id), data_root());
  make_answer_verdicts(spec, task)->judge(rows);
  double right = 0;
  for (const ExampleRow& row : rows) right += row.score.value();
  return right / static_cast<double>(rows.size());
}

class CodeVerdictsGolden : public ::testing::Test {
 protected:
  void SetUp() override {
    DLM_REQUIRE_DATA("data/mbpp/mbpp.jsonl");
    DLM_REQUIRE_DATA("data/humaneval/HumanEval.jsonl.gz");
    DLM_REQUIRE_SANDBOX();
  }

  static std::vector<ExampleRow> answers(const std::string& task_id, const std::string& end) {
    auto rows = authors_answers(load_task(find_task(task_id), data_root()), 4);
    for (ExampleRow& row : rows) row.output += end;
    return rows;
  }
};

TEST_F(CodeVerdictsGolden, AProgramEndsAtItsClosingFence) {
  for (const char* task_id : {"mbpp_instruct", "mbpp_instruct_zeroshot", "humaneval_instruct",
                              "humaneval_instruct_dream"}) {
    auto rows = answers(task_id, kRemark);
    for (ExampleRow& open : answers(task_id, "")) rows.push_back(std::move(open));
    EXPECT_EQ(right_share(rows, task_id), 1) << task_id;
  }
  EXPECT_EQ(right_share(answers("humaneval", kRemark), "humaneval"), 0);
}

// Of a task that sanitises, the rows' scores are the sanitised programs', and so is the first of
// its estimates; the text as it came stands beside them.
TEST_F(CodeVerdictsGolden, ScoresOfDreamsProtocolAreTheSanitisedPrograms) {
  const Task task = load_task(find_task("humaneval_instruct_dream"), data_root());
  const auto verdicts = make_answer_verdicts({}, task);
  auto rows = answers("humaneval_instruct_dream", kRemark);
  verdicts->judge(rows);
  const Measures measures = verdicts->measures(rows);
  double sanitised = -1, as_given = -1;
  for (const Estimate& estimate : measures.estimates) {
    if (estimate.metric == "pass_at_k")
      (estimate.variant.ends_with("sanitised") ? sanitised : as_given) = estimate.value;
  }
  EXPECT_EQ(sanitised, 1);
  EXPECT_EQ(as_given, 0);
  AnswerSpec spec;
  spec.extractor = "program";
  EXPECT_EQ(right_share(rows, "humaneval_instruct_dream", spec), 0);
  spec.extractor = "programme";
  EXPECT_THROW(make_answer_verdicts(spec, task), ConfigError);
}

}  // namespace
}  // namespace dlm
