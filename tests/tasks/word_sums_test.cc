#include "tasks/word_sums.h"

#include <filesystem>
#include <set>

#include <gtest/gtest.h>

#include "harness/base/error.h"
#include "harness/base/text.h"
#include "tasks/task.h"

namespace dlm {
namespace {

// The result by another way: the numbers and verbs of the question.
std::int64_t solved(const std::string& question) {
  const auto words = split(question, ' ');
  std::int64_t have = *parse_int(words[2]);
  for (const std::size_t verb : {std::size_t{6}, std::size_t{10}}) {
    const std::int64_t change = *parse_int(words[verb + 1]);
    have += words[verb] == "gets" ? change : -change;
  }
  return have;
}

TEST(WordSums, AnswersAreRightAndOfTwoOrders) {
  int swapped = 0;
  for (std::uint64_t i = 0; i < 2000; ++i) {
    const WordSum problem = word_sum(7, i, WordSumSplit::kTrain);
    ASSERT_EQ(problem.result, solved(problem.question)) << problem.question;
    const auto words = split(problem.answer, ' ');
    ASSERT_EQ(words.size(), 15U) << problem.answer;
    EXPECT_EQ(worked_sum_result(problem.answer), std::to_string(problem.result)) << problem.answer;
    std::multiset<std::string> changes{words[1] + words[2], words[7] + words[8]}, asked;
    const auto question = split(problem.question, ' ');
    for (const std::size_t verb : {std::size_t{6}, std::size_t{10}})
      asked.insert((question[verb] == "gets" ? "+" : "-") + question[verb + 1]);
    EXPECT_EQ(changes, asked) << problem.answer;
    swapped += words[2] != question[7] || words[1] != (question[6] == "gets" ? "+" : "-") ? 1 : 0;
    const auto ids = word_sum_ids(problem);
    ASSERT_EQ(std::ssize(ids), kWordSumTokens);
    const std::string spelled = word_sum_vocabulary()[static_cast<std::size_t>(ids[16])];
    EXPECT_EQ(spelled, words[0]);  // the answer begins where the prompt ends
  }
  // Half of those that can be; equal steps and counts below 0 can not.
  EXPECT_GT(swapped, 600);
  EXPECT_LT(swapped, 1000);
}

TEST(WordSums, SplitsShareNoProblemAndIndicesAreIndependent) {
  std::set<std::string> train;
  for (std::uint64_t i = 0; i < 4000; ++i)
    train.insert(word_sum(1, i, WordSumSplit::kTrain).question);
  EXPECT_GT(train.size(), 3600U);
  for (std::uint64_t i = 0; i < 1000; ++i)
    EXPECT_FALSE(train.contains(word_sum(1, i, WordSumSplit::kTest).question));
  EXPECT_EQ(word_sum(1, 17, WordSumSplit::kTest).question,
            word_sum(1, 17, WordSumSplit::kTest).question);
  EXPECT_NE(word_sum(1, 17, WordSumSplit::kTest).question,
            word_sum(2, 17, WordSumSplit::kTest).question);
  EXPECT_EQ(word_sum_split("test"), WordSumSplit::kTest);
  EXPECT_THROW(word_sum_split("tset"), ConfigError);
}

TEST(WordSums, TaskNeedsNoFileAndJudgesTheStatedResult) {
  const Task task = load_task(find_task("word_sums"), "/nowhere");
  ASSERT_EQ(task.documents().size(), 500U);
  const WordSum first = word_sum(1, 0, WordSumSplit::kTest);
  EXPECT_EQ(task.prompt(0), first.question);
  EXPECT_EQ(task.documents()[0].id, "test-000000");
  const std::string& reference = task.documents()[0].reference;
  EXPECT_EQ(reference, std::to_string(first.result));
  EXPECT_TRUE(task.judge(first.answer, reference)[0].correct);
  EXPECT_TRUE(task.judge(" " + first.answer, reference)[0].correct);
  EXPECT_FALSE(task.judge("3 + 4 = 7 . 7 + 9 = 16 . So 16 .", "17")[0].correct);
  // The result may be right where the way to it is not.
  const auto verdicts = task.judge("3 + 4 = 8 . 8 - 2 = 5 . So 5 .", "5");
  EXPECT_FALSE(verdicts[0].found);
  EXPECT_TRUE(verdicts[1].correct);
}

TEST(WordSums, AResultIsWorkedOutOnlyByRightStepsThatFollowEachOther) {
  EXPECT_EQ(worked_sum_result("3 + 4 = 7 . 7 - 2 = 5 . So 5 ."), "5");
  EXPECT_EQ(worked_sum_result(" 3 - 3 = 0 .  So 0 . "), "0");
  for (const char* wrong :
       {"3 + 4 = 7 . 7 - 2 = 5 . So 6 .", "3 + 4 = 7 . 6 - 1 = 5 . So 5 .",
        "3 + 4 = 7 . 7 - 2 = 4 . So 4 .", "3 * 4 = 12 . So 12 .", "So 5 .", "", "So",
        "3 + 4 = 7 . So 7 . So 7 .", "3 + 4 = 7 . So 7", "3 + 4 = 7", "- 3 + 4 = 1 . So 1 .",
        "9223372036854775807 + 1 = 0 . So 0 .", "a + b = c . So c .", "3 + 4 7 = . So 7 ."})
    EXPECT_EQ(worked_sum_result(wrong), std::nullopt) << wrong;
}

}  // namespace
}  // namespace dlm
