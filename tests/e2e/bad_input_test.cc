// Every kind of bad input: one clear line on stderr, exit 1, nothing written.
#include <algorithm>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <sys/stat.h>

#include "harness/base/file.h"
#include "tests/support/data.h"
#include "tests/support/process.h"
#include "tests/support/tiny_model.h"

namespace dlm::testing {
namespace {

namespace fs = std::filesystem;

class BadInput : public ::testing::Test {
 protected:
  BadInput() {
    write_tiny_model(model_);
    write_file_atomically(text_, "A first line.\nA second line.\n");
  }

  // Runs the model on the text and expects refusal with `words` in its one line.
  void expect_refused(const std::vector<std::string>& words, std::vector<std::string> extra = {}) {
    std::vector<std::string> args{"run",           "--model", model_, "--task",
                                  "text:" + text_, "--db",    db_,    "-q"};
    args.insert(args.end(), extra.begin(), extra.end());
    const ProcessResult result = dlmbench(args, options_);
    EXPECT_EQ(result.code, 1) << result.err;
    EXPECT_EQ(std::count(result.err.begin(), result.err.end(), '\n'), 1) << result.err;
    EXPECT_TRUE(result.out.empty()) << result.out;
    for (const std::string& word : words) {
      EXPECT_NE(result.err.find(word), std::string::npos)
          << "no '" << word << "' in: " << result.err;
    }
    if (db_is_new_) {
      EXPECT_FALSE(fs::exists(db_));
    }
  }

  std::string weights() const { return model_ + "/model.safetensors"; }

  void rewrite(const std::string& path, const std::string& content) {
    std::ofstream(path, std::ios::binary | std::ios::trunc) << content;
  }

  TemporaryFolder folder_;
  std::string model_ = folder_.file("model");
  std::string text_ = folder_.file("text.txt");
  std::string db_ = folder_.file("results.db");
  ProcessOptions options_;
  bool db_is_new_ = true;
};

TEST_F(BadInput, NothingWrongIsAccepted) {
  const ProcessResult result =
      dlmbench({"run", "--model", model_, "--task", "text:" + text_, "--db", db_, "-q"}, options_);
  EXPECT_EQ(result.code, 0) << result.err;
  EXPECT_NE(result.out.find("perplexity"), std::string::npos) << result.out;
}

TEST_F(BadInput, TruncatedSafetensors) {
  fs::resize_file(weights(), fs::file_size(weights()) - 100);
  expect_refused({"model.safetensors", "at byte"});
}

TEST_F(BadInput, LyingSafetensorsHeader) {
  std::fstream file(weights(), std::ios::in | std::ios::out | std::ios::binary);
  const char huge[8] = {'\xff', '\xff', '\xff', '\xff', '\xff', '\xff', '\xff', '\x7f'};
  file.write(huge, sizeof huge);
  file.close();
  expect_refused({"model.safetensors", "header"});
}

TEST_F(BadInput, MissingShard) {
  fs::remove(weights());
  rewrite(model_ + "/model.safetensors.index.json",
          R"({"metadata": {}, "weight_map": {"wte.weight": "model-00001-of-00002.safetensors"}})");
  expect_refused({"model-00001-of-00002.safetensors"});
}

TEST_F(BadInput, MissingTensor) {
  const auto config = std::string(MappedFile::open(model_ + "/config.json")->text());
  std::string more = config;
  more.replace(more.find("\"n_layer\":2"), 11, "\"n_layer\":3");
  rewrite(model_ + "/config.json", more);
  expect_refused({"h.2."});
}

TEST_F(BadInput, UnknownModelType) {
  rewrite(model_ + "/config.json", R"({"model_type": "gtp2"})");
  expect_refused({"model_type", "gtp2", "did you mean 'gpt2'"});
}

TEST_F(BadInput, NanWeights) {
  write_tiny_model(model_, {.nan_weight = true});
  expect_refused({"h.0.mlp.c_fc.weight", "nan"});
}

TEST_F(BadInput, InvalidUtf8) {
  rewrite(text_,
          "good\nba\xff"
          "d\n");
  expect_refused({"text.txt", "at byte 7", "UTF-8"});
}

TEST_F(BadInput, NulInText) {
  rewrite(text_, std::string("good\nba\0d\n", 10));
  expect_refused({"text.txt", "at byte 7", "NUL"});
}

TEST_F(BadInput, EmptyFile) {
  rewrite(text_, "");
  expect_refused({"text.txt", "empty"});
}

TEST_F(BadInput, LineOfFiftyMegabytes) {
  rewrite(text_, std::string(50'000'000, 'a') + "\n");
  expect_refused({"text.txt", "line"});
}

TEST_F(BadInput, MissingTextFile) {
  fs::remove(text_);
  expect_refused({"text.txt", "No such file"});
}

TEST_F(BadInput, TokenizerWithoutMerges) {
  fs::remove(model_ + "/merges.txt");
  expect_refused({"merges.txt"});
}

TEST_F(BadInput, UnknownFlag) {
  expect_refused({"bach-size", "did you mean 'batch-size'"}, {"--bach-size", "3"});
}

TEST_F(BadInput, UnknownTomlKey) {
  const std::string suite = folder_.file("suite.toml");
  rewrite(suite, "[[run]]\nmodel = \"x\"\nbach_size = 3\n");
  const ProcessResult result = dlmbench({"run", suite, "--db", db_}, options_);
  EXPECT_EQ(result.code, 1);
  EXPECT_NE(result.err.find("did you mean 'batch_size'"), std::string::npos) << result.err;
  EXPECT_FALSE(fs::exists(db_));
}

TEST_F(BadInput, UnknownTask) {
  const ProcessResult result =
      dlmbench({"run", "--model", model_, "--task", "wikitext3", "--db", db_, "-q"}, options_);
  EXPECT_EQ(result.code, 1);
  EXPECT_NE(result.err.find("did you mean 'wikitext2'"), std::string::npos) << result.err;
  EXPECT_FALSE(fs::exists(db_));
}

TEST_F(BadInput, UnknownPreset) {
  expect_refused({"scoring.preset", "did you mean 'zero-shot'"}, {"--preset", "zeroshot"});
}

TEST_F(BadInput, SettingThatContradictsThePreset) {
  expect_refused({"scoring.eos", "preset zero-shot has none"},
                 {"--preset", "zero-shot", "--eos", "add"});
}

TEST_F(BadInput, PresetThatLeavesNothing) {
  expect_refused({"nothing to score with windows of 64", "dropped: 29 tokens, 1 documents whole"},
                 {"--preset", "bd3lm-owt", "--length", "64"});
}

TEST_F(BadInput, ForeignDatabaseFile) {
  db_is_new_ = false;
  rewrite(db_,
          "this is no database, but somebody's notes, long enough to hold a header of one hundred "
          "bytes or "
          "more than that");
  const std::string before = sha256_hex_of_file(db_);
  expect_refused({"results.db"});
  EXPECT_EQ(sha256_hex_of_file(db_), before);
}

TEST_F(BadInput, ReadOnlyDatabaseFile) {
  ASSERT_EQ(dlmbench({"run", "--model", "exact:markov?v=2", "--task",
                      "draws:markov?v=2&documents=3&length=4", "--db", db_, "-q"})
                .code,
            0);
  db_is_new_ = false;
  const std::string before = sha256_hex_of_file(db_);
  chmod(db_.c_str(), 0444);
  chmod(folder_.path().c_str(), 0555);
  options_.unprivileged = true;
  if (dlmbench({"--help"}, options_).code != 0)
    GTEST_SKIP() << "another user can not run " << program_path();
  expect_refused({"results.db", "can be written to"});
  EXPECT_EQ(sha256_hex_of_file(db_), before);
}

TEST_F(BadInput, FullDisk) {
  options_.file_size_limit = 8192;
  const ProcessResult result =
      dlmbench({"run", "--model", model_, "--task", "text:" + text_, "--db", db_, "-q"}, options_);
  EXPECT_EQ(result.code, 1) << result.err;
  EXPECT_EQ(std::count(result.err.begin(), result.err.end(), '\n'), 1) << result.err;
  EXPECT_NE(result.err.find("results.db"), std::string::npos) << result.err;
}

}  // namespace
}  // namespace dlm::testing
