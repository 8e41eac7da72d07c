// `train` of an ADJUST layer as a user runs it: a killed training, its trajectories included, ends
// as one that was not, and what comes out is a layer that `generate` takes.
#include <chrono>
#include <filesystem>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "harness/base/file.h"
#include "harness/base/random.h"
#include "tests/models/dit/random_dit.h"
#include "tests/support/data.h"
#include "tests/support/process.h"

namespace dlm::testing {
namespace {

using Clock = std::chrono::steady_clock;
using Strings = std::vector<std::string>;

class TrainAdjust : public ::testing::Test {
 protected:
  TrainAdjust() {
    write_random_dit(folder_.file("base"), {.vocab_size = 9, .length = 16});
    write_random_dit(folder_.file("other"), {.vocab_size = 9, .length = 16, .seed = 2});
    write_file_atomically(
        recipe_,
        "name = 'small'\nobjective = 'adjust'\nsteps = 60\nbatch_size = 8\n"
        "learning_rate = 3e-3\nwarmup_steps = 10\nema_decay = 0.9\nlog_every = 10\n"
        "validate_every = 30\ncheckpoint_every = 5\n"
        "[model]\nlength = 16\n[adjust]\nbase = '" +
            folder_.file("base") +
            "'\ndepth = 2\ninner = 16\ntrajectories = 320\nnext_share = 0.25\nstates_mib = 64\n"
            "[data]\nsource = 'draws:markov?v=8'\nvalidation_rows = 16\n");
  }

  Strings command(const std::string& out, Strings extra = {}) const {
    Strings words{program_path(), "train", recipe_, "--out", out,
                  "--threads",    "1",     "--db",  db_,     "-q"};
    words.insert(words.end(), extra.begin(), extra.end());
    return words;
  }

  ProcessResult train(const std::string& out, const Strings& extra = {}) const {
    return run_process(command(out, extra), {});
  }

  std::string query(const std::string& sql) const {
    const ProcessResult result = dlmbench({"sql", sql, "--db", db_, "-o", "csv"});
    EXPECT_EQ(result.code, 0) << result.err;
    return result.out;
  }

  TemporaryFolder folder_;
  std::string recipe_ = folder_.file("small.toml");
  std::string db_ = folder_.file("results.db");
};

TEST_F(TrainAdjust, AKilledTrainingEndsWithTheSameLayer) {
  const std::string whole = folder_.file("whole"), killed = folder_.file("killed");
  const auto start = Clock::now();
  const ProcessResult first = train(whole);
  ASSERT_EQ(first.code, 0) << first.err;
  EXPECT_NE(first.out.find("validation_kl"), std::string::npos) << first.out;
  const double seconds = std::chrono::duration<double>(Clock::now() - start).count();
  const RandomStream random(4, Purpose::kTest, 0);
  std::vector<double> after;
  for (std::uint64_t i = 0; i < 5; ++i)
    after.push_back(seconds * (0.2 + 0.4 * random.uniform(0, i)));
  EXPECT_GE(killed_at_work(command(killed), after), 3);
  const ProcessResult last = train(killed);
  ASSERT_EQ(last.code, 0) << last.err;
  for (const char* file : {"/model.safetensors", "/training/trajectories-training.safetensors"})
    EXPECT_EQ(sha256_hex_of_file(killed + file), sha256_hex_of_file(whole + file)) << file;
  EXPECT_EQ(query("select count(*) as n from run"), "n\n1\n");
  // What both passes are worth, at every validation.
  for (const char* metric :
       {"kl", "naive_kl", "agreement", "naive_agreement", "next_kl", "naive_next_kl"})
    EXPECT_EQ(query(std::string("select count(*) as n from v_curve where metric='validation_") +
                    metric + "_pass_2'"),
              "n\n2\n")
        << metric;
  EXPECT_EQ(
      query("select distinct unit from metric join metric_def using(metric) where metric like "
            "'validation_%agreement%'"),
      "unit\nshare\n");
}

TEST_F(TrainAdjust, TheLayerIsTakenByItsBaseAlone) {
  const std::string out = folder_.file("out");
  const ProcessResult result = train(out, {"--steps", "5", "--trajectories", "16"});
  ASSERT_EQ(result.code, 0) << result.err;
  const auto generate = [&](const std::string& model) {
    return dlmbench({"generate", "--model", model, "--prompt-ids", "1", "--max-new-tokens", "15",
                     "--sampler", "entropy", "--tokens-per-step", "2", "--adjust", out});
  };
  const ProcessResult written = generate(folder_.file("base"));
  EXPECT_EQ(written.code, 0) << written.err;
  const ProcessResult refused = generate(folder_.file("other"));
  EXPECT_EQ(refused.code, 1);
  EXPECT_NE(refused.err.find("adjust"), std::string::npos) << refused.err;
}

TEST_F(TrainAdjust, BadInputIsRefused) {
  const auto refused = [&](const std::string& out, const Strings& extra, const std::string& part) {
    const ProcessResult result = train(out, extra);
    EXPECT_EQ(result.code, 1) << result.err;
    EXPECT_NE(result.err.find(part), std::string::npos) << "no '" << part << "': " << result.err;
  };
  const std::string out = folder_.file("refused");
  refused(out, {"--base", folder_.file("none")}, folder_.file("none"));
  refused(out, {"--length", "32"}, "length");
  refused(out, {"--policy", "nearest"}, "nearest");
  refused(out, {"--layer-heads", "5"}, "layer_heads");
  // A folder with something else in it, and one of another training.
  std::filesystem::create_directories(folder_.file("full"));
  write_file_atomically(folder_.file("full/notes"), "mine");
  refused(folder_.file("full"), {}, "full");
  EXPECT_FALSE(file_exists(folder_.file("full/training")));
  const std::string small = folder_.file("small");
  ASSERT_EQ(train(small, {"--steps", "1", "--trajectories", "4"}).code, 0);
  refused(small, {"--steps", "1", "--trajectories", "8"}, "it holds others");
  refused(small, {"--steps", "1", "--trajectories", "4", "--inner", "24"}, "inner");
  refused(small, {"--steps", "1", "--trajectories", "4", "--base", folder_.file("other")},
          "base_weights_sha256");
}

}  // namespace
}  // namespace dlm::testing
