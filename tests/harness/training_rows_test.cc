// Rows for training from worlds, token files and text; documents of a token file as a task.
#include "harness/training_rows.h"

#include <functional>
#include <string>

#include <gtest/gtest.h>

#include "harness/base/error.h"
#include "harness/base/file.h"
#include "harness/score_plan.h"
#include "models/training/token_file.h"
#include "tests/support/data.h"
#include "tests/support/tiny_model.h"

namespace dlm {
namespace {

std::string refusal(const std::function<void()>& action) {
  try {
    action();
  } catch (const ConfigError& error) {
    return error.what();
  }
  return "accepted";
}

class TrainingRows : public ::testing::Test {
 protected:
  TrainingRows() {
    recipe_.model.length = 4;
    recipe_.data.validation_rows = 3;
  }

  // Documents of 9, 3 and 4 tokens, numbered through.
  std::string token_file(const std::string& first_token) const {
    TokenFile file;
    file.vocab_size = 16;
    file.source = "a count";
    file.first_token = first_token;
    for (std::int32_t i = 0; i < 16; ++i) file.ids.push_back(i);
    file.lengths = {9, 3, 4};
    file.nats = {8, 2, 3};
    const std::string path = folder_.file("counted.tokens.safetensors");
    write_token_file(path, file);
    return "tokens:" + path;
  }

  std::vector<std::int64_t> row(const TrainingData& data, std::uint64_t number) const {
    std::vector<std::int64_t> ids(4);
    data.rows->read(number, ids);
    return ids;
  }

  testing::TemporaryFolder folder_;
  TrainRecipe recipe_;
};

TEST_F(TrainingRows, OfAWorldAreNeverThoseOfATaskOrOfValidation) {
  recipe_.data.source = "draws:markov?v=5";
  const TrainingData data = make_training_data(recipe_);
  EXPECT_EQ(data.rows->vocab_size(), 5);
  ASSERT_EQ(data.validation.size(), 3U);
  const auto world = make_exact_world("exact:markov?v=5");
  EXPECT_EQ(row(data, 7), world->draw(recipe_.seed + (1ULL << 32), 7, 4));
  EXPECT_EQ(data.validation[2], world->draw(recipe_.seed + (1ULL << 33), 2, 4));
}

TEST_F(TrainingRows, OfATokenFileAreWholeRowsOfItsDocuments) {
  recipe_.data.source = token_file("scored");
  recipe_.data.validation = recipe_.data.source;
  const TrainingData data = make_training_data(recipe_);
  EXPECT_EQ(data.rows->rows(), 3);  // two of the first document, none of the second
  EXPECT_EQ(data.rows->vocab_size(), 16);
  const std::vector<std::vector<std::int64_t>> expected{
      {0, 1, 2, 3}, {4, 5, 6, 7}, {12, 13, 14, 15}};
  EXPECT_EQ(data.validation, expected);
  recipe_.model.length = 10;
  EXPECT_NE(refusal([&] { (void)make_training_data(recipe_); }).find("model.length"),
            std::string::npos);
}

TEST_F(TrainingRows, OfATextArePackedWithItsTokenizer) {
  testing::write_tiny_model(folder_.file("model"));
  write_file_atomically(folder_.file("text.txt"), "abcdef\nghi");
  recipe_.data.source = "text:" + folder_.file("text.txt") + "?split=lines";
  EXPECT_NE(refusal([&] { (void)make_training_data(recipe_); }).find("data.tokenizer"),
            std::string::npos);
  recipe_.data.tokenizer = folder_.file("model");
  recipe_.data.validation = recipe_.data.source;
  const TrainingData data = make_training_data(recipe_);
  EXPECT_EQ(data.tokenizer_folder, folder_.file("model"));
  ASSERT_EQ(data.validation.size(), 3U);  // nine letters, BOS and two EOS
  EXPECT_EQ(data.rows->rows(), 3);
  EXPECT_EQ(data.rows->vocab_size(), 257);
}

TEST_F(TrainingRows, DocumentsOfATokenFileAreATaskWithItsEntropy) {
  const LoadedModel model = load_model("exact:markov?v=16", {});
  RunSpec spec;
  spec.model = "exact:markov?v=16";
  spec.task = token_file("scored");
  const ScorePlan plan = make_score_plan(spec, model);
  EXPECT_EQ(plan.task_name, "counted");
  EXPECT_EQ(plan.task_kind, "tokens");
  ASSERT_EQ(plan.units.size(), 3U);
  EXPECT_EQ(plan.scored_tokens, 16);
  EXPECT_EQ(plan.entropy_per_token, 13.0 / 16);
  spec.limit = 1;
  EXPECT_EQ(make_score_plan(spec, model).entropy_per_token, 8.0 / 9);
  spec.limit = 0;
  spec.task = token_file("given");  // of other tokens than this model scores
  EXPECT_EQ(make_score_plan(spec, model).entropy_per_token, std::nullopt);
}

}  // namespace
}  // namespace dlm
