// `bench` as a user types it, on networks small enough to be timed at once.
#include <set>
#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "harness/base/json.h"
#include "harness/base/text.h"
#include "tests/models/dit/random_dit.h"
#include "tests/support/data.h"
#include "tests/support/process.h"

namespace dlm::testing {
namespace {

constexpr const char* kBlocks = "shape:bd3lm?layers=2&hidden=32&heads=2&vocab=60&block=4&length=64";
constexpr const char* kGpt2 = "shape:gpt2?layers=2&hidden=32&heads=2&vocab=60&length=64";

std::vector<Json> bench(std::vector<std::string> args, const std::string& db) {
  args.insert(args.begin(), "bench");
  for (const char* arg : {"--db", db.c_str(), "-o", "jsonl", "--repeats", "6"})
    args.emplace_back(arg);
  const ProcessResult result = dlmbench(args);
  EXPECT_EQ(result.code, 0) << result.err;
  std::vector<Json> rows;
  for (const std::string& line : split(result.out, '\n')) {
    if (!line.empty())
      rows.push_back(parse_json(line, "bench"));
  }
  return rows;
}

TEST(Bench, SweepsAndCountsTokensByTheirNames) {
  const TemporaryFolder folder;
  const std::string db = folder.file("r.db");
  const auto rows = bench({"--model", kBlocks, "--sampler", "random", "--tokens-per-step", "1,2,4",
                           "--context", "0,16", "--batch-size", "3", "--max-new-tokens", "32"},
                          db);
  ASSERT_EQ(rows.size(), 6U);
  for (const Json& row : rows) {
    const auto k = row["K"].get<std::int64_t>();
    // 3 rows in step with each other: K tokens each from every pass; the first is not timed.
    EXPECT_DOUBLE_EQ(row["tokens_per_forward"].get<double>(), static_cast<double>(3 * k)) << row;
    EXPECT_DOUBLE_EQ(row["nfe"].get<double>(), static_cast<double>(32 / k - 1)) << row;
    EXPECT_EQ(row["repeats"].get<int>(), 6);
    const double accepted = row["tokens_per_second_accepted"].get<double>();
    EXPECT_GT(accepted, 0);
    EXPECT_DOUBLE_EQ(row["tokens_per_second_canvas"].get<double>(), accepted);
    EXPECT_LE(row["step_ms_median"].get<double>(), row["step_ms_p95"].get<double>());
    EXPECT_GT(row["of_peak"].get<double>(), 0);
    EXPECT_GT(row["of_memory"].get<double>(), 0);
  }
  const ProcessResult stored = dlmbench(
      {"sql", "select count(*) as runs, sum(n_rows) as repeats, sum(tok) as tokens from v_speed",
       "--db", db, "-o", "csv"});
  // Of each repeat 96 tokens but those of the first pass, 3 K: 6 * 2 * (3 * 96 - 3 * 7).
  EXPECT_EQ(stored.out, "runs,repeats,tokens\n6,36,3204\n");
}

TEST(Bench, TimesDecodersAndEveryBackEnd) {
  const TemporaryFolder folder;
  const auto rows =
      bench({"--model", kGpt2, "--linear-backend", "aten,auto", "--max-new-tokens", "16"},
            folder.file("r.db"));
  ASSERT_EQ(rows.size(), 2U);
  for (const Json& row : rows) EXPECT_DOUBLE_EQ(row["nfe"].get<double>(), 15) << row;
}

// An exact world is both forms of a model: a row counts what its own sampler asked.
TEST(Bench, CountsOfASweepAreThoseOfEachSampler) {
  const TemporaryFolder folder;
  const auto rows = bench({"--model", "exact:markov?v=8", "--sampler", "random,autoregressive",
                           "--block-size", "1", "--batch-size", "1", "--max-new-tokens", "32"},
                          folder.file("r.db"));
  ASSERT_EQ(rows.size(), 2U);
  for (const Json& row : rows) {
    EXPECT_DOUBLE_EQ(row["nfe"].get<double>(), 31) << row;
    EXPECT_DOUBLE_EQ(row["tokens_per_forward"].get<double>(), 1) << row;
  }
}

TEST(Bench, TimesScoreEntropyModels) {
  const TemporaryFolder folder;
  write_random_dit(folder.file("m"), {.length = 32,
                                      .block_size = 32,
                                      .cross_attention = false,
                                      .time_conditioning = true,
                                      .variance_search = false});
  const auto rows = bench({"--model", folder.file("m"), "--sampler", "analytic", "--steps", "6",
                           "--context", "4", "--max-new-tokens", "20"},
                          folder.file("r.db"));
  ASSERT_EQ(rows.size(), 1U);
  // Of seven passes the first is not timed, and the last ones are not made where nothing is hidden.
  EXPECT_GE(rows[0]["nfe"].get<double>(), 1);
  EXPECT_LE(rows[0]["nfe"].get<double>(), 6);
  EXPECT_GT(rows[0]["tokens_per_second_canvas"].get<double>(), 0);
}

TEST(Bench, RefusesWhatCannotBeTimed) {
  const TemporaryFolder folder;
  const std::string db = folder.file("r.db");
  const auto refusal = [&](std::vector<std::string> args) {
    args.insert(args.begin(), "bench");
    args.insert(args.end(), {"--db", db});
    const ProcessResult result = dlmbench(args);
    EXPECT_EQ(result.code, 1) << result.err;
    EXPECT_TRUE(result.out.empty()) << result.out;
    return result.err;
  };
  const auto says = [](const std::string& text, const char* what) {
    EXPECT_NE(text.find(what), std::string::npos) << text;
  };
  says(refusal({"--model", "shape:bert"}), "bd3lm");
  says(refusal({"--model", "shape:gpt2?layer=2"}), "layers");
  says(refusal({"--model", "shape:gpt2?layers=0"}), "layers");
  says(refusal({"--model", "shape:bd3lm?block=3"}), "block");
  says(refusal({"--model", kBlocks, "--context", "62"}), "context");
  says(refusal({"--model", kBlocks, "--context", "-1"}), "context");
  says(refusal({"--model", kBlocks, "--spread", "x"}), "spread");
  says(refusal({"--model", kGpt2, "--max-new-tokens", "1"}), "max_new_tokens");
  says(refusal({"--model", kBlocks, "--sampler", "analytic"}), "sampler");
}

}  // namespace
}  // namespace dlm::testing
