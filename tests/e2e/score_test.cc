// `score`, `rescore` and `prompt` as a user types them, on a task of one's own.
#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "harness/base/file.h"
#include "harness/base/json.h"
#include "tests/support/data.h"
#include "tests/support/process.h"

namespace dlm::testing {
namespace {

class ScoreProgram : public ::testing::Test {
 protected:
  void SetUp() override {
    const std::string rows = "{\"q\": \"1+1\", \"a\": \"2\"}\n{\"q\": \"1+2\", \"a\": \"3\"}\n";
    write_file_atomically(folder_.file("rows.jsonl"), rows);
    write_file_atomically(
        folder_.file("sums.toml"),
        "id = \"sums\"\nversion = 1\nmax_new_tokens = 8\nreference = \"{{a}}\"\nprimary = "
        "\"last\"\nquestion_field = \"q\"\n[data]\npath = \"rows.jsonl\"\nsha256 = \"" +
            sha256_hex(rows) +
            "\"\n[prompt]\nquestion = \"{{q}}=\"\n[[extractor]]\nname = \"last\"\npattern = "
            "'[0-9]+'\nchoice = \"last\"\n[[extractor]]\nname = \"first\"\npattern = '[0-9]+'\n");
    write_file_atomically(folder_.file("out.jsonl"), "{\"doc_id\": 0, \"text\": \"2 not 3\"}\n");
  }

  ProcessResult program(std::vector<std::string> args) const {
    for (const char* more : {"--definition", "sums.toml"}) args.emplace_back(more);
    return dlmbench(args,
                    {.folder = folder_.path(), .environment = {{"DLMBENCH_DATA", folder_.path()}}});
  }

  std::vector<Json> rows_of(const std::string& lines) const {
    std::vector<Json> rows;
    for (std::size_t at = 0; at < lines.size(); at = lines.find('\n', at) + 1)
      rows.push_back(parse_json(lines.substr(at, lines.find('\n', at) - at), "stdout"));
    return rows;
  }

  TemporaryFolder folder_;
};

TEST_F(ScoreProgram, ScoresStoresAndRescores) {
  const ProcessResult scored =
      program({"score", "gsm8k", "--generations", "out.jsonl", "-o", "jsonl"});
  ASSERT_EQ(scored.code, 0) << scored.err;
  const auto first = rows_of(scored.out);
  ASSERT_EQ(first.size(), 4U);
  EXPECT_EQ(first[0]["variant"], "first");
  EXPECT_EQ(first[0]["value"], 1.0);
  EXPECT_EQ(first[0]["n_docs"], 1);
  EXPECT_EQ(first[1]["value"], 0.0);
  const std::string run = first[0]["run_id"];

  ASSERT_EQ(dlmbench({"tag", "main"}, {.folder = folder_.path()}).code, 0);
  const ProcessResult again = program({"rescore", "main", "--extractor", "first", "-o", "jsonl"});
  ASSERT_EQ(again.code, 0) << again.err;
  const auto second = rows_of(again.out);
  EXPECT_NE(second[0]["run_id"], run);
  const ProcessResult stored =
      dlmbench({"sql",
                "select r.run_id, s.score, json_extract(r.spec_json, '$.rescored_run') as old from "
                "v_run r join sample s using(run_id) order by 1",
                "-o", "jsonl"},
               {.folder = folder_.path()});
  const auto samples = rows_of(stored.out);
  ASSERT_EQ(samples.size(), 2U) << stored.out << stored.err;
  EXPECT_EQ(samples[0]["score"], 0.0);  // by the task's primary extractor, "last"
  EXPECT_EQ(samples[1]["score"], 1.0);
  EXPECT_EQ(samples[1]["old"], run);

  const ProcessResult shown = program({"score", "gsm8k", "--generations", "out.jsonl"});
  EXPECT_NE(shown.out.find("1 of 2"), std::string::npos) << shown.out;
  EXPECT_NE(shown.err.find("stored already"), std::string::npos) << shown.err;
}

// One file, two members that say which document a text answers: two results.
TEST_F(ScoreProgram, AsksTheStoreForTheSameDocumentsOnly) {
  write_file_atomically(folder_.file("out.jsonl"),
                        R"({"a": 0, "b": 1, "q": "1+1", "r": "1+2", "text": "2"})");
  const std::vector<std::vector<std::string>> cases{{"--id-member", "a"},
                                                    {"--id-member", "b"},
                                                    {"--question-member", "q"},
                                                    {"--question-member", "r"}};
  std::vector<double> values;
  for (const std::vector<std::string>& more : cases) {
    std::vector<std::string> args{"score", "gsm8k", "--generations", "out.jsonl", "-o", "jsonl"};
    args.insert(args.end(), more.begin(), more.end());
    const ProcessResult scored = program(args);
    ASSERT_EQ(scored.code, 0) << scored.err;
    values.push_back(rows_of(scored.out)[0]["value"]);
  }
  EXPECT_EQ(values, (std::vector<double>{1, 0, 1, 0}));
}

TEST_F(ScoreProgram, PrintsPrompts) {
  const auto prompts = rows_of(program({"prompt"}).out);
  ASSERT_EQ(prompts.size(), 2U);
  EXPECT_EQ(prompts[1]["id"], "000001");
  EXPECT_EQ(prompts[1]["prompt"], "1+2=");
}

TEST_F(ScoreProgram, RefusesWithLineAndMember) {
  write_file_atomically(folder_.file("bad.jsonl"),
                        "{\"doc_id\": 0, \"text\": \"2\"}\n{\"doc_id\": 1, \"text\": 2}\n");
  const ProcessResult bad = program({"score", "gsm8k", "--generations", "bad.jsonl"});
  EXPECT_EQ(bad.code, 1);
  EXPECT_NE(bad.err.find("bad.jsonl line 2: expected a text 'text', found 2"), std::string::npos)
      << bad.err;
  EXPECT_FALSE(file_exists(folder_.file("results.db")));
  EXPECT_EQ(program({"score", "gsm8k"}).code, 1);
  EXPECT_EQ(program({"rescore", "nothing"}).code, 1);
  EXPECT_EQ(program({"score", "gsm8"}).code, 1);
}

}  // namespace
}  // namespace dlm::testing
