#include "tasks/generations.h"

#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "harness/base/error.h"
#include "tests/support/data.h"

namespace dlm {
namespace {

std::vector<Generation> parsed(const std::string& text, const GenerationOptions& options = {}) {
  return parse_generations(text, "f.jsonl", options).generations;
}

template <class E>
std::string error_of(const std::string& text, const GenerationOptions& options = {}) {
  try {
    parsed(text, options);
  } catch (const E& error) {
    return error.what();
  }
  return "no error";
}

TEST(Generations, PlainRowsByIdRowOrQuestion) {
  const auto by_id = parsed("{\"id\": \"a\", \"text\": \"x\"}\n\n{\"id\": \"b\", \"text\": \"y\"}");
  ASSERT_EQ(by_id.size(), 2U);
  EXPECT_EQ(by_id[1].doc_id, "b");
  EXPECT_EQ(by_id[1].where, "f.jsonl line 3");
  const auto by_row = parsed("{\"doc_id\": 7, \"generation\": \"x\", \"question\": \"q\"}");
  EXPECT_EQ(by_row[0].row, 7);
  EXPECT_EQ(by_row[0].question, "q");
  const auto several = parsed(
      "{\"id\": \"a\", \"text\": \"x\", \"sample\": 1}\n{\"id\": \"a\", \"text\": \"y\", "
      "\"sample\": 0}");
  EXPECT_EQ(several[0].sample, 1);
  const auto dotted = parsed("{\"id\": 1, \"m\": {\"out\": \"x\", \"ok\": true}}",
                             {.text_member = "m.out", .verdict_member = "m.ok"});
  EXPECT_EQ(dotted[0].text, "x");
  EXPECT_TRUE(dotted[0].recorded.at(""));
}

TEST(Generations, LmEvalRowsOfOneDocumentAreOne) {
  const std::string row =
      R"({"doc_id": 3, "doc": {"question": "q"}, "resps": [["a", "b"]], "filter": ")";
  const auto read = parsed(row + "s\", \"exact_match\": 1.0}\n" + row + "f\", \"exact_match\": 0}");
  ASSERT_EQ(read.size(), 2U);
  EXPECT_EQ(read[1].sample, 1);
  EXPECT_EQ(read[1].text, "b");
  EXPECT_EQ(read[0].row, 3);
  EXPECT_TRUE(read[0].recorded.at("s"));
  EXPECT_FALSE(read[0].recorded.at("f"));
  EXPECT_NE(
      error_of<DataError>(row + "s\", \"exact_match\": 1}\n" + row + "s\", \"exact_match\": 1}")
          .find("line 2: expected each document and filter once"),
      std::string::npos);
  EXPECT_NE(
      error_of<DataError>(row + "s\"}\n" + R"({"doc_id": 3, "resps": [["a", "c"]], "filter": "f"})")
          .find("another one for the same document"),
      std::string::npos);
}

TEST(Generations, HumanEvalAndSampleLists) {
  const auto human = parsed(
      "{\"task_id\": \"t/0\", \"completion\": \"a\"}\n{\"task_id\": \"t/1\", \"completion\": "
      "\"b\"}\n{\"task_id\": \"t/0\", \"completion\": \"c\"}");
  ASSERT_EQ(human.size(), 3U);
  EXPECT_EQ(human[2].doc_id, "t/0");
  EXPECT_EQ(human[2].sample, 1);
  const auto lists = parsed("{\"prompt\": \"p\", \"samples\": [\"a\", \"b\"]}");
  ASSERT_EQ(lists.size(), 2U);
  EXPECT_EQ(lists[1].question, "p");
  EXPECT_EQ(lists[1].sample, 1);
}

TEST(GenerationsGolden, FilesOfTheDataFolder) {
  DLM_REQUIRE_DATA("data/generations");
  const std::string folder = testing::data_path("data/generations/");
  const auto wizard = read_generations(folder + "wizardcoder/T0.0_N1_reproduce.results.59.8.jsonl",
                                       {.text_member = "completion", .verdict_member = "passed"});
  EXPECT_EQ(wizard.generations.size(), 164U);
  EXPECT_EQ(wizard.format, GenerationFormat::kHumanEval);
  std::int64_t passed = 0;
  for (const Generation& one : wizard.generations) passed += one.recorded.at("") ? 1 : 0;
  EXPECT_EQ(passed, 98);
  const auto codet = read_generations(
      folder +
          "codet-codegen16b/"
          "HumanEval_codegen16B_temp0.8_topp0.95_num100_max300_code_solution.jsonl.gz",
      {});
  EXPECT_EQ(codet.format, GenerationFormat::kSampleList);
  EXPECT_EQ(codet.generations.size(), 16400U);
}

TEST(Generations, HostileFilesAreRefusedWithLineAndMember) {
  const std::string good = "{\"id\": \"a\", \"text\": \"x\"}\n";
  const std::vector<std::pair<std::string, std::string>> cases{
      {good + "{\"id\": \"b\"}", "line 2: expected a text 'text', found nothing"},
      {good + "{\"id\": \"b\", \"text\": 3}", "line 2: expected a text 'text', found 3"},
      {good + "{\"id\": [], \"text\": \"\"}", "line 2: expected a text or a whole number 'id'"},
      {good + "{\"id\": -1, \"text\": \"\"}", "a whole number 'id'"},
      {good + "{\"id\": 1.5, \"text\": \"\"}", "a whole number 'id'"},
      {good + "{\"id\": 18446744073709551615, \"text\": \"\"}", "below 2^63"},
      {good + good, "line 2: expected each document once"},
      {good + "[1, 2]", "line 2: at byte 25"},
      {good + "{\"id\": \"b\", \"text\": \"x\"} trailing", "line 2"},
      {good + "{\"id\": \"b\", \"id\": \"c\", \"text\": \"x\"}", "duplicate key"},
      {good + "{\"id\": \"b\", \"text\": \"\xC3\x28\"}", "UTF-8"},
      {good + "{\"id\": \"b\", \"text\": \"\\ud800\"}", "line 2"},
      {good + std::string(100000, '['), "nesting"},
      {"", "expected a row"},
      {"{\"doc_id\": 1, \"resps\": \"x\"}", "'resps'"},
      {"{\"doc_id\": 1, \"resps\": [[3]]}", "texts in 'resps'"},
      {"{\"prompt\": \"p\", \"samples\": [1]}", "texts in 'samples'"}};
  for (const auto& [text, what] : cases) {
    const std::string error = error_of<DataError>(text);
    EXPECT_NE(error.find(what), std::string::npos) << text.substr(0, 80) << ": " << error;
  }
  EXPECT_NE(error_of<DataError>(good + std::string(64'000'001, ' ')).find("line 2: at byte 25"),
            std::string::npos);
  EXPECT_NE(
      error_of<ConfigError>("{\"id\": 1, \"text\": \"a\", \"output\": \"b\"}").find("name one"),
      std::string::npos);
  EXPECT_NE(error_of<ConfigError>("{\"id\": 1, \"txt\": \"a\"}").find("no member is called"),
            std::string::npos);
  EXPECT_NE(error_of<ConfigError>("{\"text\": \"a\"}").find("id-member"), std::string::npos);
}

}  // namespace
}  // namespace dlm
