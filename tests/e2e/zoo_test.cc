// The models of models/zoo still are what they were: the NLL of each on the first documents of its
// test set, as recorded when they were committed. f32 rounding on other machines moves the fifth
// digit.
#include <cmath>
#include <cstdio>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "harness/base/file.h"
#include "harness/base/text.h"
#include "tests/support/data.h"
#include "tests/support/process.h"

namespace dlm::testing {
namespace {

struct Recorded {
  const char* model;
  double nats_per_token;  // of 100 documents
};

constexpr Recorded kRecorded[] = {
    {"stories-ar", 1.533556},
    {"stories-bd3lm1", 1.536333},
    {"stories-bd3lm4", 2.340247},
    {"stories-bd3lm8", 2.468284},
    {"stories-bd3lm16", 2.750616},
    {"stories-mdlm", 3.011074},
    {"stories-bd3lm4-search", 2.101602},
    {"stories-bd3lm1-linear", 1.788063},
    {"stories-sedd", 4.145774},
};

TEST(Zoo, EveryModelGivesItsRecordedLikelihood) {
  const TemporaryFolder folder;
  const std::string db = folder.file("results.db");
  ProcessOptions options;
  options.environment["DLMBENCH_ZOO"] = DLM_ZOO;
  std::string models;
  for (const Recorded& one : kRecorded) {
    ASSERT_TRUE(file_exists(DLM_ZOO "/" + std::string(one.model) + "/model.safetensors"));
    models += (models.empty() ? "zoo:" : ",zoo:") + std::string(one.model);
  }
  const ProcessResult result =
      dlmbench({"run", "--model", models, "--task", "tokens:zoo:stories-test.tokens.safetensors",
                "--limit", "100", "--batch-size", "16", "--db", db, "-q"},
               options);
  ASSERT_EQ(result.code, 0) << result.err;
  for (const Recorded& one : kRecorded) {
    const ProcessResult value = dlmbench(
        {"sql",
         "select value from v_result where metric='nll' and model='" + std::string(one.model) + "'",
         "--db", db, "-o", "csv"});
    ASSERT_EQ(value.code, 0) << value.err;
    const double nats = std::stod(value.out.substr(value.out.find('\n') + 1));
    EXPECT_NEAR(nats, one.nats_per_token, 2e-4 * one.nats_per_token) << one.model;
  }
}

// A denoiser's text through a tokenizer, judged by the network whose language it was trained on.
TEST(Zoo, BlockDiffusionTextIsJudged) {
  DLM_REQUIRE_DATA("data/checkpoints/stories260K");
  const TemporaryFolder folder;
  const std::string stories = data_path("data/checkpoints/stories260K/hf");
  ProcessOptions options;
  options.environment["DLMBENCH_ZOO"] = DLM_ZOO;
  const ProcessResult result =
      dlmbench({"run", "--model", "zoo:stories-bd3lm4", "--tokenizer", stories, "--task",
                "samples:documents=8&length=32", "--judge", stories, "--stop-at", "length",
                "--batch-size", "8", "--db", folder.file("results.db"), "-q"},
               options);
  ASSERT_EQ(result.code, 0) << result.err;
  const ProcessResult value =
      dlmbench({"sql", "select value, n from v_result where metric='generative_perplexity' limit 1",
                "--db", folder.file("results.db"), "-o", "csv"});
  ASSERT_EQ(value.code, 0) << value.err;
  const double perplexity = std::stod(value.out.substr(value.out.find('\n') + 1));
  EXPECT_GT(perplexity, 3.4) << value.out;  // the source's own
  EXPECT_LT(perplexity, 512) << value.out;  // of random tokens
}

// What a layer takes back of the cost of K = 4 tokens a pass, in NLL under the text's source: the
// path from a layer's file through the sampler to the judge.
struct RecordedLayer {
  const char* name;
  const char* model;
  double least;  // nats/token that the layer takes off
};

class ZooLayer : public ::testing::TestWithParam<RecordedLayer> {
 protected:
  ZooLayer() { options_.environment["DLMBENCH_ZOO"] = DLM_ZOO; }

  // Nats a token of 16 texts.
  double nll(const std::vector<std::string>& more) const {
    const std::string stories = data_path("data/checkpoints/stories260K/hf");
    const TemporaryFolder folder;
    const std::string db = folder.file("results.db");
    std::vector<std::string> words = {"run", "--model", model_, "--db", db, "-q", "--threads", "1"};
    const std::string common =
        "--task samples:documents=16&length=63 --metrics generative_perplexity --sampler entropy "
        "--stop-at length --tokens-per-step 4 --batch-size 16 --judge " +
        stories + " --tokenizer " + stories;
    for (const std::string& word : split(common, ' ')) words.push_back(word);
    words.insert(words.end(), more.begin(), more.end());
    const ProcessResult result = dlmbench(words, options_);
    EXPECT_EQ(result.code, 0) << result.err;
    const ProcessResult value =
        dlmbench({"sql",
                  "select value from v_result where metric='generative_perplexity' and "
                  "variant='pooled'",
                  "--db", db, "-o", "csv"});
    EXPECT_EQ(value.code, 0) << value.err;
    return std::log(std::stod(value.out.substr(value.out.find('\n') + 1)));
  }

  ProcessOptions options_;
  std::string model_ = "zoo:" + std::string(GetParam().model);
};

TEST_P(ZooLayer, TakesBackWhatTokensTogetherCost) {
  DLM_REQUIRE_DATA("data/checkpoints/stories260K");
  const double marginal = nll({});
  const double adjusted = nll({"--adjust", model_ + "-adjust"});
  std::printf("%s: K = 4 %.3f nats/token, with its layer %.3f\n", GetParam().model, marginal,
              adjusted);
  EXPECT_GT(marginal - adjusted, GetParam().least);
}

INSTANTIATE_TEST_SUITE_P(Layers, ZooLayer,
                         ::testing::Values(RecordedLayer{"Blocks", "stories-bd3lm16", 1.5},
                                           RecordedLayer{"Masked", "stories-mdlm", 1.2}),
                         [](const auto& of) { return of.param.name; });

// The models of word_sums solve it one token a pass, and worse the more tokens a pass reveals.
TEST(Zoo, AccuracyOfWordSumsFallsWithTokensPerStep) {
  const TemporaryFolder folder;
  const std::string db = folder.file("results.db");
  ProcessOptions options;
  options.environment["DLMBENCH_ZOO"] = DLM_ZOO;
  const ProcessResult result = dlmbench(
      {"run", "--model", "zoo:sums-bd3lm4", "--task", "word_sums", "--limit", "300", "--sampler",
       "confidence", "--tokens-per-step", "1,4", "--batch-size", "32", "--db", db, "-q"},
      options);
  ASSERT_EQ(result.code, 0) << result.err;
  const ProcessResult values = dlmbench({"sql",
                                         "select value from v_result where metric='accuracy' and "
                                         "variant='worked' order by value",
                                         "--db", db, "-o", "csv"});
  ASSERT_EQ(values.code, 0) << values.err;
  const auto lines = split(values.out, '\n');
  ASSERT_GE(lines.size(), 3U) << values.out;
  EXPECT_LT(std::stod(lines[1]), 0.84) << values.out;  // K = 4: 0.754 of 500
  EXPECT_GT(std::stod(lines[2]), 0.85) << values.out;  // K = 1: 0.910
}

}  // namespace
}  // namespace dlm::testing
