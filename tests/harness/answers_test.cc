#include "harness/scorers/answers.h"

#include <map>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "harness/base/error.h"
#include "harness/base/file.h"
#include "tests/support/data.h"

namespace dlm {
namespace {

// Three sums, judged by their last number ("last") or their first ("first").
Task sums(const testing::TemporaryFolder& folder) {
  const std::string rows = R"({"q": "1+1", "a": "2"}
{"q": "1+2", "a": "3"}
{"q": "1+3", "a": "4"}
)";
  write_file_atomically(folder.file("rows.jsonl"), rows);
  const std::string toml = fmt::format(
      "id = \"sums\"\nversion = 1\nmax_new_tokens = 8\nreference = \"{{{{a}}}}\"\nprimary = "
      "\"last\"\nquestion_field = \"q\"\nstop = [\"END\"]\n[data]\npath = "
      "\"rows.jsonl\"\nsha256 = \"{}\"\n[prompt]\nquestion = \"{{{{q}}}}=\"\n[[extractor]]\nname = "
      "\"last\"\npattern = '[0-9]+'\nchoice = \"last\"\n[[extractor]]\nname = \"first\"\npattern = "
      "'[0-9]+'\n",
      sha256_hex(rows));
  return load_task(parse_task(toml, "sums"), folder.path());
}

ScoredAnswers scored(const Task& task, const std::string& lines, const AnswerOptions& options = {},
                     const GenerationOptions& reading = {}) {
  return score_answers(task, answer_texts(task, parse_generations(lines, "g", reading)), options);
}

std::map<std::string, double> values(const ScoredAnswers& answers) {
  std::map<std::string, double> all;
  for (const Estimate& estimate : answers.estimates)
    all[estimate.metric + " " + estimate.variant] = estimate.value;
  return all;
}

TEST(ScoreAnswers, ExtractorsStandSideBySide) {
  const testing::TemporaryFolder folder;
  const Task task = sums(folder);
  const ScoredAnswers answers = scored(task, R"({"doc_id": 0, "text": "2 it is, not 3"}
{"id": 9, "doc_id": 1, "text": "first 1, then 3 END 7"}
)");
  const auto found = values(answers);
  EXPECT_EQ(found.at("accuracy last"), 0.5);
  EXPECT_EQ(found.at("accuracy first"), 0.5);
  EXPECT_EQ(found.at("answers_found last"), 1);
  EXPECT_EQ(answers.documents, 2);
  ASSERT_EQ(answers.rows.size(), 2U);
  EXPECT_EQ(answers.rows[0].score, 0.0);  // by the primary extractor
  EXPECT_EQ(answers.rows[1].score, 1.0);
  EXPECT_EQ(answers.rows[1].output, "first 1, then 3 END 7");  // as it came, stop string included
  EXPECT_EQ(answers.rows[1].doc_sha, task.documents()[1].sha);
  const ScoredAnswers uncut = scored(task, R"({"doc_id": 1, "text": "first 1, then 3 END 7"})",
                                     {.stops = Stops::kKeep, .primary = "", .majority = {}});
  EXPECT_EQ(uncut.rows[0].score, 0.0);
  EXPECT_THROW(scored(task, R"({"doc_id": 1, "text": "3"})",
                      {.stops = Stops::kCut, .primary = "lst", .majority = {}}),
               ConfigError);
}

// Samples of document 0: 2, 5, 5, 2 and of document 1: 3, 3, 9, 9. maj@1 takes the first sample,
// maj@3 is 5 and 3, maj@4 is a tie that the first answer wins.
TEST(ScoreAnswers, MajorityOfTheFirstSamples) {
  const testing::TemporaryFolder folder;
  const Task task = sums(folder);
  std::string lines;
  const std::vector<std::vector<int>> samples{{2, 5, 5, 2}, {3, 3, 9, 9}};
  for (std::size_t sample = 4; sample-- > 0;) {  // file order must not matter
    for (std::size_t document = 0; document < 2; ++document) {
      lines += fmt::format("{{\"doc_id\": {}, \"sample\": {}, \"text\": \"{}\"}}\n", document,
                           sample, samples[document][sample]);
    }
  }
  const auto found =
      values(scored(task, lines, {.stops = Stops::kCut, .primary = "", .majority = {1, 3, 4}}));
  EXPECT_EQ(found.at("accuracy last"), 0.5);
  EXPECT_EQ(found.at("majority_accuracy last maj@1"), 1);
  EXPECT_EQ(found.at("majority_accuracy last maj@3"), 0.5);
  EXPECT_EQ(found.at("majority_accuracy last maj@4"), 1);
  EXPECT_THROW(scored(task, lines, {.stops = Stops::kCut, .primary = "", .majority = {5}}),
               ConfigError);
}

TEST(ScoreAnswers, CountsVerdictsThatDifferFromTheFiles) {
  const testing::TemporaryFolder folder;
  const Task task = sums(folder);
  const ScoredAnswers answers = scored(task, R"({"doc_id": 0, "text": "2", "ok": true}
{"doc_id": 1, "text": "2", "ok": true}
)",
                                       {}, {.verdict_member = "ok"});
  EXPECT_EQ(answers.recorded, 2);
  EXPECT_EQ(answers.differing, 1);
}

TEST(ScoreAnswers, TheFilesOwnReferenceCanBeUsed) {
  const testing::TemporaryFolder folder;
  const Task task = sums(folder);
  const ScoredAnswers answers = scored(task, R"({"doc_id": 0, "text": "5", "gold": 5.0}
{"doc_id": 1, "text": "3", "gold": null}
)",
                                       {}, {.reference_member = "gold"});
  EXPECT_EQ(answers.rows[0].score, 1.0);
  EXPECT_EQ(answers.rows[1].score, 0.0);  // nothing is right where the file has no answer
}

TEST(ScoreAnswers, RefusesTextsOfNoDocument) {
  const testing::TemporaryFolder folder;
  const Task task = sums(folder);
  EXPECT_THROW(scored(task, R"({"doc_id": 3, "text": ""})"), DataError);
  EXPECT_THROW(scored(task, R"({"doc_id": "x", "text": ""})"), DataError);
  EXPECT_THROW(scored(task, R"({"question": "9+9", "text": ""})"), DataError);
  EXPECT_THROW(scored(task, R"({"doc_id": 0, "question": "1+2", "text": ""})"), DataError);
  EXPECT_THROW(scored(task, R"({"doc_id": 0, "text": ""}
{"doc_id": "000000", "text": ""})"),
               DataError);
}

}  // namespace
}  // namespace dlm
