// Settings that a run does not read, and sweeps of which some runs cannot start.
#include <algorithm>
#include <filesystem>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "harness/base/text.h"
#include "tests/support/data.h"
#include "tests/support/process.h"
#include "tests/support/tiny_model.h"

namespace dlm::testing {
namespace {

using Words = std::vector<std::string>;

class Settings : public ::testing::Test {
 protected:
  ProcessResult run(const Words& more, const std::string& command = "run") const {
    Words args{command, "--db", db_};
    args.insert(args.end(), more.begin(), more.end());
    return dlmbench(args);
  }

  // On exact worlds.
  ProcessResult score(Words more) const {
    more.insert(more.end(),
                {"--model", "exact:markov?v=4", "--task", "draws:markov?v=4&documents=6&length=8"});
    return run(more);
  }

  ProcessResult sample(Words more) const {
    more.insert(more.end(), {"--model", "exact:tabular?v=3&l=4", "--task",
                             "samples:documents=4&length=4", "--metrics", "text_statistics"});
    return run(more);
  }

  void expect_refused(const ProcessResult& result, const std::string& setting) const {
    EXPECT_EQ(result.code, 1) << setting << result.out << result.err;
    EXPECT_NE(result.err.find(setting), std::string::npos) << setting << ": " << result.err;
    EXPECT_NE(result.err.find("must be left out: "), std::string::npos) << result.err;
    EXPECT_FALSE(std::filesystem::exists(db_)) << setting;
  }

  Words column(const std::string& sql) const {
    const ProcessResult result = dlmbench({"sql", sql, "--db", db_, "-o", "csv"});
    EXPECT_EQ(result.code, 0) << result.err;
    Words lines = split(result.out, '\n');
    lines.erase(lines.begin());
    while (!lines.empty() && lines.back().empty()) lines.pop_back();
    return lines;
  }

  TemporaryFolder folder_;
  std::string db_ = folder_.file("r.db");
};

TEST_F(Settings, WhatTheEstimatorDoesNotReadIsRefused) {
  expect_refused(score({"--estimator", "exact", "--draws", "8"}), "estimator.draws = '8'");
  expect_refused(score({"--estimator", "enumerate", "--block-size", "4", "--draws", "8"}),
                 "estimator.draws = '8'");
  expect_refused(score({"--block-size", "4"}), "block_size = '4'");
  expect_refused(score({"--estimator", "order", "--t-min", "0.5"}), "estimator.t_min");
  expect_refused(score({"--estimator", "stratified", "--schedule", "log"}), "estimator.schedule");
}

TEST_F(Settings, WhatTheSamplerDoesNotReadIsRefused) {
  expect_refused(sample({"--sampler", "random", "--threshold", "0.5"}), "sampler.threshold");
  expect_refused(sample({"--tokens-per-step", "2"}), "sampler.tokens_per_step");
  expect_refused(sample({"--sampler", "random", "--nucleus-rule", "drop"}), "sampler.nucleus_rule");
  const std::string world = "exact:tabular?v=3&l=4";
  expect_refused(
      dlmbench({"generate", "--model", world, "--sampler", "random", "--threshold", "0.5"}),
      "sampler.threshold");
  expect_refused(run({"--model", world, "--sampler", "random", "--threshold", "0.5"}, "law"),
                 "sampler.threshold");
  expect_refused(run({"--model", world, "--sampler", "factor", "--factor", "2"}, "law"),
                 "`law` does not read it");
  expect_refused(
      run({"--model", "shape:gpt2?layers=1&hidden=8&heads=1&vocab=16", "--steps", "3"}, "bench"),
      "sampler.steps");
}

TEST_F(Settings, WhatACommandDoesNotReadIsRefusedAndNotShown) {
  const Words base{
      "--model", "exact:markov?v=4", "--task", "draws:markov?v=4&documents=8", "--block-size", "4"};
  const auto with = [&base](const Words& more) {
    Words args = base;
    args.insert(args.end(), more.begin(), more.end());
    return args;
  };
  expect_refused(run(with({"--draws", "7"}), "schedule"), "option = 'draws'");
  expect_refused(run(with({"--estimator", "enumerate"}), "schedule"), "option = 'estimator'");
  expect_refused(run(with({"--target-ci", "1%"}), "schedule"), "`schedule` does not read it");
  expect_refused(run(with({"--t-min", "0.2"}), "gradient"), "`gradient` does not read it");
  expect_refused(run(with({"--target-ci", "1%"}), "cost"), "`cost` does not read it");
  for (const char* command : {"schedule", "gradient"}) {
    const ProcessResult help = dlmbench({command, "--help"});
    EXPECT_EQ(help.out.find("--draws"), std::string::npos) << command;
    EXPECT_NE(help.out.find("--packing"), std::string::npos) << command;
  }
}

// The setting is for the run that reads it; the other is one run, whatever its values.
TEST_F(Settings, ASweepLeavesASettingOutWhereItIsNotRead) {
  const Words sweep{"--sampler", "confidence,threshold", "--threshold", "0.5,0.7", "--fresh"};
  const ProcessResult result = sample(sweep);
  EXPECT_EQ(result.code, 0) << result.err;
  EXPECT_NE(result.err.find("sampler.threshold = 0.5 is left out"), std::string::npos)
      << result.err;
  const std::string settings =
      "select json_extract(spec_json,'$.sampler.name') || ' ' || "
      "json_extract(spec_json,'$.sampler.threshold') from v_run order by 1";
  EXPECT_EQ(column(settings), (Words{"confidence 0.9", "threshold 0.5", "threshold 0.7"}));
  EXPECT_EQ(column("select count(*) from run where cmdline like '%confidence%threshold%'"),
            Words{"0"});  // it can be repeated as it stands
}

TEST_F(Settings, AnAutoregressiveModelIsSweptBesideADenoiser) {
  const ProcessResult result =
      score({"--estimator", "exact,stratified", "--block-size", "1,4", "--draws", "2", "-q"});
  EXPECT_EQ(result.code, 0) << result.err;
  EXPECT_EQ(column("select block_size from v_run order by 1"), (Words{"0", "1", "4"}));
}

TEST_F(Settings, ARunOfASweepThatCannotStartIsARowWithItsError) {
  const Words sweep{"--sampler", "first_hitting", "--tokens-per-step", "1,4"};
  for (int time = 0; time < 2; ++time) {
    const ProcessResult result = sample(sweep);
    EXPECT_EQ(result.code, 2) << result.err;
    EXPECT_NE(result.err.find("must be left out"), std::string::npos) << result.err;
  }
  EXPECT_EQ(
      column("select status || ' ' || cast(tokens_per_step as integer) from v_run order by 1"),
      (Words{"done 1", "failed 4"}));
  EXPECT_NE(column("select error from run where status='failed'").at(0).find("tokens_per_step"),
            std::string::npos);
  const ProcessResult model = run({"--model", "exact:markov?v=4," + folder_.file("none"), "--task",
                                   "draws:markov?v=4&documents=6&length=8"});
  EXPECT_EQ(model.code, 2) << model.err;
  EXPECT_EQ(column("select status from v_run where model like '%none'"), Words{"failed"});
}

TEST_F(Settings, ASweepOfWhichNoRunCanStartWritesNothing) {
  const ProcessResult result = sample({"--sampler", "first_hitting", "--tokens-per-step", "3,4"});
  EXPECT_EQ(result.code, 1) << result.err;
  EXPECT_FALSE(std::filesystem::exists(db_));
}

}  // namespace
}  // namespace dlm::testing
