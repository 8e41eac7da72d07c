#include "harness/score_plan.h"

#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "harness/base/error.h"
#include "harness/base/file.h"
#include "harness/base/json.h"
#include "harness/estimator_settings.h"
#include "models/runtime.h"
#include "tests/support/data.h"
#include "tests/support/tiny_model.h"

namespace dlm {
namespace {

// A byte tokenizer whose EOS and BOS are 256, a model of 64 positions, and a text of four lines: 5,
// 4, 0 (blank) and 6 bytes.
class ScorePlanOfText : public ::testing::Test {
 protected:
  ScorePlanOfText() {
    testing::write_tiny_model(folder_.file("model"));
    model_ = load_model(folder_.file("model"), {});
    write_file_atomically(folder_.file("text.txt"), "abcde\nfghi\n\njklmno");
    spec_.task = "text:" + folder_.file("text.txt") + "?split=stripped";
    spec_.scoring.preset = "zero-shot";
    spec_.scoring.length = 6;
  }

  Json config_of(const ScorePlan& plan) const { return parse_json(plan.task_config_json, "plan"); }

  std::string error_of(const RunSpec& spec) const {
    try {
      make_score_plan(spec, model_);
    } catch (const ConfigError& error) {
      return error.what();
    }
    return "no error";
  }

  testing::TemporaryFolder folder_;
  LoadedModel model_;
  RunSpec spec_;
};

TEST_F(ScorePlanOfText, CountsWhatBecameOfTheDocuments) {
  const ScorePlan plan = make_score_plan(spec_, model_);
  EXPECT_EQ(plan.units.size(), 3U);  // of four bytes each; three are left over
  EXPECT_EQ(plan.scored_tokens, 3 * 5);
  EXPECT_EQ(plan.first_token, "clean");
  EXPECT_EQ(plan.padding_positions, 0);
  EXPECT_EQ(plan.windows.length, 6);
  EXPECT_EQ(counts_line(plan),
            "4 documents (1 empty), 15 tokens; 3 units, 0 skipped; dropped: 3 tokens, 0 documents "
            "whole");
  EXPECT_EQ(config_of(plan)["counts"], parse_json(R"({"documents": 4, "empty_documents": 1,
      "tokens": 15, "special_tokens": 6, "units": 3, "skipped_units": 0, "dropped_tokens": 3,
      "dropped_special_tokens": 0, "dropped_documents": 0})",
                                                  "expected"));
  EXPECT_EQ(config_of(plan)["preparation"], parse_json(R"({"preset": "zero-shot",
      "packing": "packed", "length": 6, "bos": 256, "first_token": "clean", "eos": null,
      "chunk_ends": [256, 256], "remainder": "drop", "documents_per_group": 1000,
      "num_proc": 1})",
                                                       "expected"));
  EXPECT_EQ(config_of(plan)["split"], "stripped");
}

TEST_F(ScorePlanOfText, ShardsDropTheirOwnRemainders) {
  spec_.scoring.num_proc = 4;
  const ScorePlan plan = make_score_plan(spec_, model_);
  EXPECT_EQ(plan.units.size(), 3U);
  EXPECT_EQ(plan.counts.dropped_tokens, 1 + 0 + 2);
  spec_.scoring.length = 8;
  const ScorePlan longer = make_score_plan(spec_, model_);
  EXPECT_EQ(longer.units.size(), 1U);
  EXPECT_EQ(longer.counts.dropped_documents, 2);
}

TEST_F(ScorePlanOfText, IsTheSameAtAnyNumberOfThreads) {
  spec_.scoring.preset = "bd3lm-owt";
  set_threads(1);
  const ScorePlan one = make_score_plan(spec_, model_);
  set_threads(2);
  const ScorePlan two = make_score_plan(spec_, model_);
  EXPECT_EQ(one.task_config_json, two.task_config_json);
  ASSERT_EQ(one.units.size(), two.units.size());
  for (std::size_t u = 0; u < one.units.size(); ++u)
    EXPECT_EQ(one.units[u].windows[0].ids, two.units[u].windows[0].ids);
}

TEST_F(ScorePlanOfText, PaddingIsThatOfTheBatches) {
  spec_.scoring = {};
  spec_.scoring.bos = "add";
  spec_.batch_size = 2;  // ids with BOS: 7 6 | 5, the blank line is no unit
  EXPECT_EQ(make_score_plan(spec_, model_).padding_positions, 1);
  spec_.batch_size = 3;
  EXPECT_EQ(make_score_plan(spec_, model_).padding_positions, 1 + 2);
}

TEST_F(ScorePlanOfText, RefusesWhereNothingIsLeft) {
  spec_.scoring.length = 20;
  EXPECT_EQ(error_of(spec_),
            "task = '" + spec_.task +
                "': nothing to score with windows of 20: 4 documents (1 empty), 15 tokens; 0 "
                "units, 0 skipped; dropped: 15 tokens, 3 documents whole");
  write_file_atomically(folder_.file("empty.jsonl"), "{\"text\":\"\"}\n{\"text\":\"\"}\n");
  spec_.task = "jsonl:" + folder_.file("empty.jsonl");
  spec_.scoring.preset = "bd3lm-owt";
  spec_.scoring.length = 2;
  EXPECT_EQ(error_of(spec_),
            "task = '" + spec_.task + "': nothing to score: no document has a token");
}

TEST_F(ScorePlanOfText, NamesThePresetWhereItDoesNotFitTheModel) {
  spec_.scoring.length = 0;
  EXPECT_EQ(error_of(spec_),
            "scoring.length = '1024': this model holds at most 64 positions (preset zero-shot)");
}

TEST_F(ScorePlanOfText, AnAutoregressiveNetworkIsGivenTheFirstTokenByEveryPreset) {
  spec_.scoring.preset = "sahoo-owt";
  const ScorePlan plan = make_score_plan(spec_, model_);
  EXPECT_EQ(plan.first_token, "clean");
  EXPECT_EQ(plan.units[0].windows[0].first_scored, 1);
  spec_.estimator.first_token = "scored";
  EXPECT_NE(error_of(spec_).find("estimator.first_token = 'scored': auto"), std::string::npos);
}

TEST(ScorePlan, OfAnExactWorldScoresItsFirstToken) {
  const LoadedModel model = load_model("exact:markov?v=4&seed=1", {});
  RunSpec spec;
  spec.task = "draws:markov?v=4&seed=1&documents=5&length=8";
  const ScorePlan plan = make_score_plan(spec, model);
  EXPECT_EQ(plan.first_token, "scored");
  EXPECT_EQ(plan.scored_tokens, 40);
  EXPECT_TRUE(plan.entropy_per_token.has_value());
  spec.estimator.name = "stratified";
  EXPECT_EQ(make_score_plan(spec, model).scored_tokens, 40);
  spec.estimator.first_token = "clean";
  const ScorePlan clean = make_score_plan(spec, model);
  EXPECT_EQ(clean.scored_tokens, 35);
  EXPECT_FALSE(clean.entropy_per_token.has_value());
}

TEST(ScorePlan, TheRuleOfTheFirstTokenIsThePresetsForDiffusion) {
  const LoadedModel model = load_model("exact:markov?v=4&seed=1", {});
  RunSpec spec;
  spec.estimator.name = "stratified";
  EXPECT_TRUE(scores_first_token(spec, model));
  spec.scoring.preset = "bd3lm-owt";
  EXPECT_FALSE(scores_first_token(spec, model));
  spec.scoring.preset = "sahoo-owt";
  EXPECT_TRUE(scores_first_token(spec, model));
  EXPECT_EQ(estimator_options(spec, model).first_token, "scored");
}

}  // namespace
}  // namespace dlm
