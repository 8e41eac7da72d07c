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

TEST(WordSums, AnswersAreRightAndOfOneForm) {
  for (std::uint64_t i = 0; i < 2000; ++i) {
    const WordSum problem = word_sum(7, i, WordSumSplit::kTrain);
    ASSERT_EQ(problem.result, solved(problem.question)) << problem.question;
    const auto words = split(problem.answer, ' ');
    ASSERT_EQ(words.size(), 15U) << problem.answer;
    EXPECT_EQ(words[13], std::to_string(problem.result));
    EXPECT_EQ(words[10], words[13]);
    EXPECT_EQ(words[4], words[6]);
    const auto ids = word_sum_ids(problem);
    ASSERT_EQ(std::ssize(ids), kWordSumTokens);
    const std::string spelled = word_sum_vocabulary()[static_cast<std::size_t>(ids[16])];
    EXPECT_EQ(spelled, words[0]);  // the answer begins where the prompt ends
  }
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
  EXPECT_FALSE(task.judge("So 99 .", reference)[0].correct);
  EXPECT_FALSE(task.judge("3 + 4 = 7 .", "7")[0].found);
  EXPECT_TRUE(task.judge("3 + 4 = 7 .", "7")[1].correct);
}

}  // namespace
}  // namespace dlm
