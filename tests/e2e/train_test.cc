// `train` as a user runs it: a killed training ends as one that was not, bad recipes and full disks
// are told, and what comes out is a model that other commands load.
#include <chrono>
#include <filesystem>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "harness/base/file.h"
#include "harness/base/random.h"
#include "tests/support/data.h"
#include "tests/support/process.h"

namespace dlm::testing {
namespace {

using Clock = std::chrono::steady_clock;
using Strings = std::vector<std::string>;

constexpr const char* kRecipe =
    "name = 'small'\nobjective = 'bd3lm'\nblock_size = 4\nsteps = 120\nbatch_size = 8\n"
    "learning_rate = 3e-3\nwarmup_steps = 10\nema_decay = 0.9\nlog_every = 7\n"
    "validate_every = 40\ncheckpoint_every = 5\n"
    "[model]\nlength = 16\nhidden_size = 16\nlayers = 1\nheads = 2\ncond_dim = 8\ndropout = 0.1\n"
    "[noise]\nsearch = true\nresample = true\n"
    "[data]\nsource = 'draws:markov?v=8'\nvalidation_rows = 16\n";

class Train : public ::testing::Test {
 protected:
  Train() { write_file_atomically(recipe_, kRecipe); }

  Strings command(const std::string& out, Strings extra = {}) const {
    Strings words{program_path(), "train", recipe_, "--out", out,
                  "--threads",    "1",     "--db",  db_,     "-q"};
    words.insert(words.end(), extra.begin(), extra.end());
    return words;
  }

  ProcessResult train(const std::string& out, const Strings& extra = {},
                      const ProcessOptions& options = {}) const {
    return run_process(command(out, extra), options);
  }

  void expect_refused(const Strings& extra, const Strings& parts, int code = 1) const {
    const ProcessResult result = train(folder_.file("refused"), extra);
    EXPECT_EQ(result.code, code) << result.err;
    EXPECT_TRUE(result.out.empty()) << result.out;
    for (const std::string& part : parts)
      EXPECT_NE(result.err.find(part), std::string::npos) << "no '" << part << "': " << result.err;
  }

  std::string query(const std::string& sql) const {
    const ProcessResult result = dlmbench({"sql", sql, "--db", db_, "-o", "csv"});
    EXPECT_EQ(result.code, 0) << result.err;
    return result.out;
  }

  static std::string weights(const std::string& out) {
    return sha256_hex_of_file(out + "/model.safetensors");
  }

  TemporaryFolder folder_;
  std::string recipe_ = folder_.file("small.toml");
  std::string db_ = folder_.file("results.db");
};

TEST_F(Train, AKilledTrainingEndsWithTheSameWeights) {
  const std::string whole = folder_.file("whole"), killed = folder_.file("killed");
  const auto start = Clock::now();
  const ProcessResult first = train(whole);
  ASSERT_EQ(first.code, 0) << first.err;
  const double seconds = std::chrono::duration<double>(Clock::now() - start).count();
  const RandomStream random(3, Purpose::kTest, 0);
  std::vector<double> after;
  for (std::uint64_t i = 0; i < 5; ++i)
    after.push_back(seconds * (0.1 + 0.5 * random.uniform(0, i)));
  EXPECT_GE(killed_at_work(command(killed), after), 3);
  const ProcessResult last = train(killed);
  ASSERT_EQ(last.code, 0) << last.err;
  EXPECT_EQ(weights(killed), weights(whole));
  // The same training is one run of the store, and its curve is the same.
  EXPECT_EQ(query("select count(*) as n from run"), "n\n1\n");
  EXPECT_EQ(query("select count(distinct step) as n from v_curve where metric='training_loss'"),
            "n\n18\n");
  EXPECT_EQ(query("select step from v_curve where metric='noise_low' order by step"),
            "step\n40\n80\n120\n");
  // Each says its unit, the resumed training's as well.
  EXPECT_EQ(query("select distinct unit from metric m join metric_def d using(metric) where "
                  "d.metric like 'nelbo_variance%'"),
            "unit\n(nats/token)^2\n");
  EXPECT_EQ(query("select count(*) as n from v_result where metric in "
                  "('training_loss','validation_nelbo','nelbo_variance_best') and variant=''"),
            "n\n3\n");
}

TEST_F(Train, WhatComesOutIsScoredAndWrites) {
  const std::string out = folder_.file("out");
  const ProcessResult result = train(out);
  ASSERT_EQ(result.code, 0) << result.err;
  EXPECT_NE(result.out.find("validation_nelbo"), std::string::npos) << result.out;
  const ProcessResult drawn =
      dlmbench({"draw", "--model", "exact:markov?v=8", "--documents", "20", "--length", "16",
                "--seed", "5", "--to", folder_.file("test.safetensors")});
  ASSERT_EQ(drawn.code, 0) << drawn.err;
  const ProcessResult scored =
      dlmbench({"run", "--model", out, "--task", "tokens:" + folder_.file("test.safetensors"),
                "--db", db_, "-q"});
  EXPECT_EQ(scored.code, 0) << scored.err;
  const ProcessResult written =
      dlmbench({"generate", "--model", out, "--prompt-ids", "1", "--max-new-tokens", "15"});
  EXPECT_EQ(written.code, 0) << written.err;
  // Its weights, as those of a base model, save another training its beginning.
  const auto first_loss = [&](const std::string& name) {
    return query("select value from v_curve where step=1 and metric='training_nelbo' and model='" +
                 name + "'");
  };
  const Strings short_training{"--steps",      "1", "--search", "false", "--resample", "false",
                               "--block-size", "2", "--dtype",  "bf16",  "--draw",     "counts"};
  Strings tuned = short_training, untuned = short_training;
  tuned.insert(tuned.end(), {"--name", "tuned", "--fine-tune-from", out});
  untuned.insert(untuned.end(), {"--name", "untuned"});
  ASSERT_EQ(train(folder_.file("tuned"), tuned).code, 0);
  ASSERT_EQ(train(folder_.file("untuned"), untuned).code, 0);
  EXPECT_LT(std::stod(first_loss("tuned").substr(6)), std::stod(first_loss("untuned").substr(6)));
}

TEST_F(Train, BadRecipesAreRefused) {
  expect_refused({"--block-size", "5"}, {"block_size", "'5'", "a divisor of 16"});
  expect_refused({"--heads", "5"}, {"model.heads", "a divisor of 16"});
  expect_refused({"--learning-rate", "-1"}, {"learning_rate", "from 0 to 10"});
  expect_refused({"--objective", "gpt"}, {"objective", "ar, mdlm, sedd, bd3lm"});
  expect_refused({"--lerning-rate", "1"}, {"lerning-rate", "learning-rate"});
  expect_refused({"--source", "tokens:/none", "--search", "false"}, {"/none"});
  expect_refused({"--source", "tokens:/none"}, {"noise.search", "data.validation"});
  expect_refused({"--source", "text:/none", "--search", "false"}, {"data.tokenizer"});
  expect_refused({"--source", "draws:markov?v=8&w=1"}, {"w"});
  expect_refused({"--fine-tune-from", "/none"}, {"/none"});
  EXPECT_FALSE(std::filesystem::exists(folder_.file("refused")));
  EXPECT_FALSE(std::filesystem::exists(db_));
  write_file_atomically(recipe_, std::string(kRecipe) + "sorce = 'x'\n");
  expect_refused({}, {"small.toml", "data.sorce", "data.source"});
}

TEST_F(Train, ADivergedTrainingSaysSoAndKeepsItsCheckpoint) {
  const std::string out = folder_.file("out");
  const Strings wild{"--learning-rate", "10", "--clip-norm", "0",     "--steps", "100000",
                     "--warmup-steps",  "50", "--epsilon",   "1e-30", "--beta1", "0",
                     "--weight-decay",  "10", "--search",    "false"};
  const ProcessResult result = train(out, wild);
  EXPECT_EQ(result.code, 2) << result.err;
  EXPECT_NE(result.err.find("step "), std::string::npos) << result.err;
  EXPECT_NE(result.err.find("stays in " + out), std::string::npos) << result.err;
  EXPECT_TRUE(file_exists(out + "/training/state.safetensors"));
}

TEST_F(Train, AnotherValidationIsAnotherTraining) {
  const Strings short_one{"--steps", "5", "--search", "false", "--resample", "false"};
  const auto with_seed = [&](const char* seed) {
    Strings words = short_one;
    words.insert(words.end(), {"--validation", std::string("draws:markov?v=8&seed=") + seed});
    return words;
  };
  ASSERT_EQ(train(folder_.file("a"), with_seed("9")).code, 0);
  ASSERT_EQ(train(folder_.file("b"), with_seed("10")).code, 0);
  EXPECT_EQ(weights(folder_.file("a")), weights(folder_.file("b")));
  EXPECT_EQ(query("select count(distinct value) as n from metric where metric='validation_nelbo'"),
            "n\n2\n");
  const ProcessResult other = train(folder_.file("a"), with_seed("10"));
  EXPECT_EQ(other.code, 1);
  EXPECT_NE(other.err.find("validation"), std::string::npos) << other.err;
}

TEST_F(Train, AnotherTrainingsFolderIsLeftAlone) {
  const std::string out = folder_.file("out");
  ASSERT_EQ(train(out, {"--steps", "5"}).code, 0);
  const std::string before = weights(out);
  const ProcessResult other = train(out, {"--steps", "5", "--seed", "2"});
  EXPECT_EQ(other.code, 1);
  EXPECT_NE(other.err.find("settings.seed: 1 there, 2 here"), std::string::npos) << other.err;
  EXPECT_EQ(weights(out), before);
  EXPECT_EQ(train(folder_.path(), {"--steps", "5"}).code, 1);
  EXPECT_EQ(train("/proc/none", {"--steps", "5"}).code, 1);
}

TEST_F(Train, AFullDiskIsToldAndTheLastCheckpointStays) {
  const std::string out = folder_.file("out");
  ASSERT_EQ(train(out, {"--steps", "5"}).code, 0);
  ProcessOptions full;
  full.file_size_limit = 4096;
  const ProcessResult result = train(folder_.file("other"), {"--steps", "5"}, full);
  EXPECT_EQ(result.code, 1) << result.err;
  EXPECT_NE(result.err.find("model.safetensors: expected to write it whole"), std::string::npos)
      << result.err;
  EXPECT_FALSE(file_exists(folder_.file("other") + "/model.safetensors"));
  const ProcessResult again = train(folder_.file("other"), {"--steps", "5"});
  EXPECT_EQ(again.code, 0) << again.err;
  EXPECT_EQ(weights(folder_.file("other")), weights(out));
}

}  // namespace
}  // namespace dlm::testing
