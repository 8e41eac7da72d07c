// `score genppl` and `score mauve` as a user types them.
#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "harness/base/file.h"
#include "harness/base/json.h"
#include "harness/base/random.h"
#include "harness/base/text.h"
#include "models/checkpoint/safetensors.h"
#include "tests/support/data.h"
#include "tests/support/estimate_rows.h"
#include "tests/support/process.h"
#include "tests/support/tiny_model.h"

namespace dlm::testing {
namespace {

void write_features(const std::string& path, std::int64_t rows, double shift) {
  const RandomStream stream(7, Purpose::kTest, static_cast<std::uint64_t>(shift * 100));
  std::vector<float> values(static_cast<std::size_t>(rows) * 6);
  for (std::size_t i = 0; i < values.size(); ++i)
    values[i] = static_cast<float>(stream.normal(0, i) + shift);
  write_safetensors(path,
                    {{"features", {Dtype::kF32, {rows, 6}, std::as_bytes(std::span(values))}}});
}

std::string jsonl_of_ids(std::int64_t rows, std::int64_t length, std::uint64_t bound) {
  const RandomStream stream(8, Purpose::kTest, bound);
  std::string out;
  for (std::int64_t row = 0; row < rows; ++row) {
    Json ids = Json::array();
    for (std::int64_t i = 0; i < length; ++i)
      ids.push_back(
          stream.below(bound, static_cast<std::uint64_t>(row), static_cast<std::uint64_t>(i)));
    out += canonical_json({{"ids", ids}}) + "\n";
  }
  return out;
}

TEST(ScoreText, MauveOfReadyFeaturesComesWithItsCeiling) {
  const TemporaryFolder folder;
  write_features(folder.file("p.safetensors"), 300, 0);
  write_features(folder.file("q.safetensors"), 150, 1.5);
  const std::vector<std::string> args{
      "score",        "mauve", "--db",        folder.file("r.db"),
      "-o",           "jsonl", "--reference", folder.file("p.safetensors"),
      "--generations"};
  auto compare = args, same = args;
  compare.push_back(folder.file("q.safetensors"));
  same.push_back(folder.file("p.safetensors"));
  const auto values = estimate_values(dlmbench(compare));
  EXPECT_LT(values.at("mauve|"), 0.2);
  EXPECT_GT(values.at("mauve|ceiling"), 0.85);
  EXPECT_GT(values.at("frontier_integral|"), values.at("frontier_integral|ceiling"));
  EXPECT_GT(values.at("seed_deviation|mauve"), 0);
  EXPECT_EQ(estimate_values(dlmbench(same)).at("mauve|"), 1);
  const ProcessResult again = dlmbench(compare);
  EXPECT_NE(again.err.find("stored already"), std::string::npos) << again.err;
}

TEST(ScoreText, GenpplOfIdsUnderAnExactWorldPrintsItsCompanions) {
  const TemporaryFolder folder;
  write_file_atomically(folder.file("a.jsonl"), jsonl_of_ids(20, 30, 8));
  const std::vector<std::string> args{"score",   "genppl", "--db",          folder.file("r.db"),
                                      "-o",      "jsonl",  "--judge",       "exact:markov?v=8",
                                      "--field", "ids",    "--generations", folder.file("a.jsonl")};
  const auto values = estimate_values(dlmbench(args));
  EXPECT_GT(values.at("generative_perplexity|pooled"), 1);
  EXPECT_GE(values.at("generative_perplexity|sample mean"),
            values.at("generative_perplexity|pooled"));
  EXPECT_GT(values.at("unigram_entropy|"), 1);
  EXPECT_LT(values.at("unigram_entropy|"), std::log(8));
  for (const char* name : {"distinct_n|1", "distinct_n|2", "distinct_n|3", "repetition|4-gram",
                           "repetition|128 tokens", "sample_length|median"})
    EXPECT_TRUE(values.contains(name)) << name;
  EXPECT_EQ(values.at("sample_length|max"), 30);
  EXPECT_EQ(values.at("sample_length_share|    16 to     31"), 1);
  // The store knows every text: another run over them makes no pass.
  auto other = args;
  other.insert(other.end(), {"--limit", "5"});
  const ProcessResult cached = dlmbench(other);
  EXPECT_NE(cached.err.find("5 texts, 5 of them judged before"), std::string::npos) << cached.err;
}

TEST(ScoreText, BadInputIsRefusedByName) {
  const TemporaryFolder folder;
  write_features(folder.file("p.safetensors"), 40, 0);
  write_features(folder.file("q.safetensors"), 40, 0.5);
  write_file_atomically(folder.file("empty.jsonl"), "");
  write_file_atomically(folder.file("blank.jsonl"), "{\"text\":\"\"}\n");
  write_file_atomically(folder.file("other.jsonl"), "{\"txt\":\"a\"}\n");
  write_file_atomically(folder.file("number.jsonl"), "{\"ids\":[1,2.5]}\n");
  write_file_atomically(folder.file("mixed.jsonl"), "{\"ids\":[1,2]}\n{\"ids\":\"a\"}\n");
  write_file_atomically(folder.file("twice.jsonl"),
                        "{\"id\":1,\"ids\":[1]}\n{\"id\":1,\"ids\":[2]}\n");
  write_file_atomically(folder.file("range.jsonl"), "{\"ids\":[1,99]}\n");
  write_file_atomically(folder.file("good.jsonl"), "{\"ids\":[1,2,3]}\n");
  const std::vector<float> nan(6, std::numeric_limits<float>::quiet_NaN());
  write_safetensors(folder.file("nan.safetensors"),
                    {{"features", {Dtype::kF32, {1, 6}, std::as_bytes(std::span(nan))}}});

  struct Case {
    std::vector<std::string> args;
    const char* message;
  };

  const std::vector<std::string> judge{"--judge", "exact:markov?v=8", "--field", "ids"};
  const auto genppl = [&](const char* file, std::vector<std::string> more = {}) {
    std::vector<std::string> args{"genppl", "--generations", folder.file(file)};
    args.insert(args.end(), judge.begin(), judge.end());
    args.insert(args.end(), more.begin(), more.end());
    return args;
  };
  const auto mauve = [&](const char* file, std::vector<std::string> more = {}) {
    std::vector<std::string> args{"mauve", "--generations", folder.file(file), "--reference",
                                  folder.file("p.safetensors")};
    args.insert(args.end(), more.begin(), more.end());
    return args;
  };
  const std::vector<Case> cases{
      {{"genpl"}, "did you mean 'genppl'"},
      {{"genppl"}, "judge"},
      {genppl("empty.jsonl"), "at least one text"},
      {genppl("blank.jsonl", {"--field", "text"}), "at least one text"},
      {genppl("other.jsonl", {"--field", "text"}), "--field"},
      {genppl("number.jsonl"), "whole numbers"},
      {genppl("mixed.jsonl"), "both in one file"},
      {genppl("twice.jsonl"), "again"},
      {genppl("range.jsonl"), "99"},
      {genppl("good.jsonl", {"--convention", "gpt2"}), "bd3lms"},
      {genppl("good.jsonl", {"--window", "1"}), "window"},
      {genppl("good.jsonl", {"--stride", "5000"}), "stride"},
      {genppl("good.jsonl", {"--model", "exact:markov?v=8"}), "give --judge"},
      {mauve("nan.safetensors"), "nan.safetensors"},
      {mauve("q.safetensors", {"--buckets", "81"}), "more clusters than the 80 texts"},
      {mauve("q.safetensors", {"--explained-variance", "0"}), "explained-variance"},
      {mauve("q.safetensors", {"--featurizer", "x"}), "nothing to do"},
      {mauve("q.safetensors", {"--seeds", "0"}), "seeds"},
      {mauve("good.jsonl"), "must hold texts or features"},
      {{"mauve", "--generations", folder.file("good.jsonl"), "--reference",
        folder.file("good.jsonl"), "--field", "ids", "--featurizer", "exact:markov?v=8"},
       "no hidden states"},
  };
  for (const Case& one : cases) {
    std::vector<std::string> args{"score"};
    args.insert(args.end(), one.args.begin(), one.args.end());
    args.insert(args.end(), {"--db", folder.file("bad.db")});
    const ProcessResult result = dlmbench(args);
    EXPECT_EQ(result.code, 1) << one.message << "\n" << result.err;
    EXPECT_NE(result.err.find(one.message), std::string::npos) << one.message << ": " << result.err;
  }
}

TEST(ScoreTextGolden, HumanAndMachineTextsThroughATrainedModel) {
  DLM_REQUIRE_DATA("data/mauve");
  const TemporaryFolder folder;
  const std::string sets = data_path("data/mauve/webtext-vs-gpt2-63tok/");
  const std::string model = data_path("data/checkpoints/stories260K/hf");
  const auto mauve = [&](const char* generations) {
    return estimate_values(dlmbench({"score", "mauve", "--generations", sets + generations,
                                     "--reference", sets + "webtext.valid.jsonl", "--limit", "300",
                                     "--featurizer", model, "--threads", "1", "--batch-size", "32",
                                     "-o", "jsonl", "--db", folder.file("r.db")}));
  };
  const auto human = mauve("webtext.test.jsonl"), adversarial = mauve("adv.test.jsonl");
  EXPECT_GT(human.at("mauve|"), 0.9);
  EXPECT_GT(human.at("mauve|ceiling"), 0.9);
  EXPECT_LT(adversarial.at("mauve|"), human.at("mauve|"));
}

}  // namespace
}  // namespace dlm::testing
