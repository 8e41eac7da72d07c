// Against the published tokenizers: fixtures made with transformers 4.49 and tokenizers 0.21, and
// llama.cpp's test vectors.
#include <filesystem>
#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "harness/base/json.h"
#include "harness/base/text.h"
#include "models/tokenizer/tokenizer.h"
#include "tests/models/tokenizer/fixture_cases.h"
#include "tests/support/data.h"

namespace dlm {
namespace {

using testing::data_path;
using testing::FixtureCase;
using testing::read_fixture;
using testing::read_vectors;
using testing::TemporaryFolder;

// A field that a fixture has in some line is left out of others only where it says nothing new.
struct FieldsListed {
  bool ordinary = false;
  bool cleanup = false;
};

FieldsListed fields_listed(const std::vector<FixtureCase>& cases) {
  FieldsListed listed;
  for (const FixtureCase& expected : cases) {
    listed.ordinary = listed.ordinary || expected.ids_ordinary;
    listed.cleanup = listed.cleanup || expected.decoded_cleanup;
  }
  return listed;
}

void check_case(const Tokenizer& tokenizer, const FixtureCase& expected, FieldsListed listed) {
  SCOPED_TRACE(canonical_json(expected.text));
  EXPECT_EQ(tokenizer.decode(expected.ids), expected.decoded);
  if (expected.decode_only)
    return;
  EXPECT_EQ(tokenizer.encode(expected.text), expected.ids);
  EXPECT_EQ(tokenizer.with_special(expected.ids), expected.ids_with_special.value_or(expected.ids));
  EXPECT_EQ(tokenizer.decode(expected.ids, {.skip_special = true}),
            expected.decoded_skip_special.value_or(expected.decoded));
  if (listed.ordinary) {
    EXPECT_EQ(tokenizer.encode(expected.text, SpecialTokens::kAsText),
              expected.ids_ordinary.value_or(expected.ids));
  }
  if (listed.cleanup) {
    EXPECT_EQ(tokenizer.decode(expected.ids, {.clean_up_spaces = true}),
              expected.decoded_cleanup.value_or(expected.decoded));
  }
}

void check_fixture(const std::string& tokenizer_path, const std::string& fixture) {
  const auto tokenizer = load_tokenizer(tokenizer_path);
  const auto cases = read_fixture(data_path(fixture));
  ASSERT_GT(cases.size(), 20U);
  for (const FixtureCase& expected : cases) check_case(*tokenizer, expected, fields_listed(cases));
}

void check_vectors(const std::string& tokenizer_path, const std::string& name) {
  const auto tokenizer = load_tokenizer(data_path(tokenizer_path));
  const auto cases = read_vectors(data_path("data/tokenizers/vectors/" + name));
  ASSERT_EQ(cases.size(), 46U);
  for (const FixtureCase& expected : cases)
    EXPECT_EQ(tokenizer->encode(expected.text), expected.ids) << canonical_json(expected.text);
}

void check_round_trip(const std::string& tokenizer_path, std::size_t expected_tokens) {
  const auto tokenizer = load_tokenizer(data_path(tokenizer_path));
  const std::string text =
      testing::read_text(data_path("data/corpora/wikitext-2/wiki.test.tokens"));
  const TokenIds ids = tokenizer->encode(text);
  EXPECT_EQ(ids.size(), expected_tokens);
  EXPECT_TRUE(tokenizer->decode(ids) == text);
}

// The files of a folder without its tokenizer.json.
void copy_without_json(const std::string& from, const TemporaryFolder& to) {
  for (const char* name : {"vocab.json", "merges.txt", "vocab.txt"}) {
    if (std::filesystem::exists(from + "/" + name))
      std::filesystem::copy_file(from + "/" + name, to.file(name));
  }
}

TEST(TokenizerGolden, Gpt2FixturesAgree) {
  DLM_REQUIRE_DATA("fixtures/tokenizers_public");
  check_fixture(data_path("data/tokenizers/gpt2"), "fixtures/tokenizers_public/gpt2.jsonl");
}

TEST(TokenizerGolden, Qwen2FixturesAgree) {
  DLM_REQUIRE_DATA("fixtures/tokenizers_public");
  check_fixture(data_path("data/tokenizers/qwen2"), "fixtures/tokenizers_public/qwen2.jsonl");
}

TEST(TokenizerGolden, BertFixturesAgree) {
  DLM_REQUIRE_DATA("fixtures/tokenizers_public");
  check_fixture(data_path("data/tokenizers/bert-base-uncased"),
                "fixtures/tokenizers_public/bert_base_uncased.jsonl");
}

TEST(TokenizerGolden, Gpt2StyleFixturesAgree) {
  DLM_REQUIRE_DATA("fixtures/tokenizers_small");
  check_fixture(data_path("fixtures/tokenizers_small/gpt2_style"),
                "fixtures/tokenizers_small/gpt2_style.jsonl");
}

TEST(TokenizerGolden, Gpt2StyleFixturesAgreeWithoutTokenizerJson) {
  DLM_REQUIRE_DATA("fixtures/tokenizers_small");
  const TemporaryFolder folder;
  copy_without_json(data_path("fixtures/tokenizers_small/gpt2_style"), folder);
  check_fixture(folder.path(), "fixtures/tokenizers_small/gpt2_style.jsonl");
}

TEST(TokenizerGolden, Llama3StyleFixturesAgree) {
  DLM_REQUIRE_DATA("fixtures/tokenizers_small");
  check_fixture(data_path("fixtures/tokenizers_small/llama3_style"),
                "fixtures/tokenizers_small/llama3_style.jsonl");
}

TEST(TokenizerGolden, WordPieceFixturesAgree) {
  DLM_REQUIRE_DATA("fixtures/tokenizers_small");
  check_fixture(data_path("fixtures/tokenizers_small/wordpiece/vocab.txt"),
                "fixtures/tokenizers_small/wordpiece.jsonl");
}

// This tokenizer.json says cleanup false, which the fixture's decoded texts do not follow.
TEST(TokenizerGolden, WordPieceJsonEncodesAsTheFixtures) {
  DLM_REQUIRE_DATA("fixtures/tokenizers_small");
  const auto tokenizer = load_tokenizer(data_path("fixtures/tokenizers_small/wordpiece"));
  for (const auto& expected :
       read_fixture(data_path("fixtures/tokenizers_small/wordpiece.jsonl"))) {
    if (expected.decode_only)
      continue;
    const TokenIds ids = tokenizer->encode(expected.text);
    EXPECT_EQ(ids, expected.ids) << canonical_json(expected.text);
    EXPECT_EQ(tokenizer->with_special(ids), expected.ids_with_special);
  }
}

TEST(TokenizerGolden, LlamaCppVectorsAgree) {
  DLM_REQUIRE_DATA("data/tokenizers/vectors");
  check_vectors("data/tokenizers/gpt2", "gpt-2");
  check_vectors("data/tokenizers/qwen2", "qwen2");
  check_vectors("data/tokenizers/bert-base-uncased", "bert-bge");
}

TEST(TokenizerGolden, WikiTextComesBackByteForByte) {
  DLM_REQUIRE_DATA("data/corpora/wikitext-2");
  check_round_trip("data/tokenizers/gpt2", 295877);
  check_round_trip("data/tokenizers/qwen2", 309009);
}

TEST(TokenizerGolden, StoriesAgreeWithTheTrainedModel) {
  DLM_REQUIRE_DATA("data/checkpoints/stories260K");
  const auto tokenizer = load_tokenizer(data_path("data/checkpoints/stories260K/hf"));
  const std::string path = data_path("data/checkpoints/stories260K/golden/golden.json");
  const Json golden = parse_json(testing::read_text(path), path);
  EXPECT_TRUE(tokenizer->adds_bos());
  EXPECT_EQ(tokenizer->bos_id(), 1);
  EXPECT_EQ(tokenizer->eos_id(), 2);
  ASSERT_EQ(golden["stories"].size(), 5U);
  for (const Json& story : golden["stories"]) {
    const auto ids = story["ids"].get<TokenIds>();
    const auto text = story["text"].get<std::string>();
    EXPECT_EQ(tokenizer->with_special(tokenizer->encode(text)), ids);
    EXPECT_EQ(tokenizer->decode(ids, {.skip_special = true}), text);
  }
  const Json& greedy = golden["greedy"];
  EXPECT_EQ(tokenizer->decode(greedy["ids"].get<TokenIds>(), {.skip_special = true}),
            greedy["text"].get<std::string>());
}

}  // namespace
}  // namespace dlm
