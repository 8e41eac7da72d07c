// ADJUST through the program, on diffusion transformers of both forms.
#include <filesystem>
#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "harness/base/json.h"
#include "harness/base/text.h"
#include "models/checkpoint/checkpoint.h"
#include "tests/models/canvas/random_canvas.h"
#include "tests/models/dit/random_dit.h"
#include "tests/support/data.h"
#include "tests/support/process.h"

namespace dlm::testing {
namespace {

using Words = std::vector<std::string>;

class Adjust : public ::testing::TestWithParam<const char*> {
 protected:
  Adjust() {
    const bool blocks = GetParam() == std::string("bd3lm");
    write_random_dit(model_, {.model_type = GetParam(),
                              .width = 32,
                              .length = 16,
                              .block_size = blocks ? 8 : 16,
                              .cross_attention = blocks});
    write_random_adjust(layer_, Checkpoint::open(model_).weights_sha256(), 1);
  }

  static Words with(Words words, const Words& more) {
    words.insert(words.end(), more.begin(), more.end());
    return words;
  }

  ProcessResult generate(const Words& more) const {
    return dlmbench(
        with({"generate", "--model", model_, "--prompt-ids", "3,1,4", "--max-new-tokens", "13",
              "-o", "jsonl", "--threads", "1", "--sampler", "entropy"},
             more));
  }

  Json text(const Words& more) const {
    const ProcessResult result = generate(more);
    EXPECT_EQ(result.code, 0) << result.err;
    return result.code == 0 ? parse_json(result.out, "stdout") : Json::object();
  }

  void expect_refused(const Words& more, const std::string& part) const {
    const ProcessResult result = generate(more);
    EXPECT_EQ(result.code, 1) << part;
    EXPECT_EQ(result.out, "") << part;
    EXPECT_NE(result.err.find(part), std::string::npos) << result.err;
  }

  TemporaryFolder folder_;
  std::string model_ = folder_.file("model");
  std::string layer_ = folder_.file("layer");
};

TEST_P(Adjust, GenerateCountsPassesOfTheLayerApart) {
  const Json marginal = text({"--tokens-per-step", "4"});
  const Json adjusted = text({"--tokens-per-step", "4", "--adjust", layer_});
  EXPECT_EQ(adjusted["nfe"], marginal["nfe"]);
  // Every token but the first of each pass.
  EXPECT_EQ(adjusted["layer_passes"].get<int>(), 13 - adjusted["nfe"].get<int>());
  EXPECT_FALSE(marginal.contains("layer_passes"));
  EXPECT_NE(adjusted["ids"], marginal["ids"]);
  EXPECT_EQ(text({"--adjust", layer_})["ids"], text({})["ids"]);
}

TEST_P(Adjust, BadInputIsNamed) {
  expect_refused({"--adjust", folder_.file("nothing")}, "nothing");
  expect_refused({"--adjust", layer_, "--tokens-per-step", "17"}, "tokens_per_step");
  expect_refused({"--adjust", "shape:bd3lm"}, "shape:adjust");
  std::filesystem::remove_all(layer_);
  write_random_adjust(layer_, std::string(64, 'b'), 1);
  expect_refused({"--adjust", layer_}, "weights bbbbbbbbbbbbbbbb");
  std::filesystem::remove_all(layer_);
  write_random_adjust(layer_, Checkpoint::open(model_).weights_sha256(), 1, "norm_hidden.0.weight");
  expect_refused({"--adjust", layer_}, "norm_hidden.0.weight");
}

TEST_P(Adjust, RunsWithAndWithoutItAreTwo) {
  const std::string db = folder_.file("r.db");
  const auto run = [&](const Words& more) {
    const ProcessResult result =
        dlmbench(with({"run", "--db", db, "--model", model_, "--task",
                       "samples:documents=6&length=16", "--metrics", "text_statistics", "--sampler",
                       "random", "--tokens-per-step", "4", "--threads", "1", "-q"},
                      more));
    EXPECT_EQ(result.code, 0) << result.err;
  };
  run({});
  run({"--adjust", layer_});
  run({"--adjust", layer_});  // is known
  const ProcessResult stored =
      dlmbench({"sql", "select count(distinct run_id) as runs, count(*) as texts from sample",
                "--db", db, "-o", "csv"});
  EXPECT_EQ(stored.code, 0) << stored.err;
  EXPECT_EQ(stored.out, "runs,texts\n2,12\n");
}

INSTANTIATE_TEST_SUITE_P(Forms, Adjust, ::testing::Values("mdlm", "bd3lm"));

TEST(AdjustBench, TimesALayerOfTheShape) {
  const TemporaryFolder folder;
  const ProcessResult result = dlmbench(
      {"bench", "--model", "shape:bd3lm?layers=2&hidden=32&heads=2&vocab=60&block=8&length=64",
       "--sampler", "random", "--tokens-per-step", "4", "--adjust", "shape:adjust", "--db",
       folder.file("r.db"), "-o", "jsonl", "--repeats", "6", "--max-new-tokens", "32"});
  ASSERT_EQ(result.code, 0) << result.err;
  const Json row = parse_json(result.out, "bench");
  EXPECT_EQ(row["adjust"], "yes");
  EXPECT_EQ(row["nfe"].get<double>(), 32 / 4 - 1);
}

}  // namespace
}  // namespace dlm::testing
