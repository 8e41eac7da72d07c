// Likelihood of diffusion models through the program.
#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "harness/base/text.h"
#include "tests/models/dit/random_dit.h"
#include "tests/support/data.h"
#include "tests/support/process.h"
#include "tests/support/stored_tensors.h"

namespace dlm::testing {
namespace {

using Words = std::vector<std::string>;

// |got - want| <= 3e-5 (1 + |want|) everywhere; the last `skipped` columns of each row of `width`
// are left out.
void expect_tensor(const TensorView& got, const TensorView& want, std::int64_t skipped,
                   const std::string& what) {
  ASSERT_EQ(got.shape, want.shape) << what;
  const auto have = floats_of(got);
  const auto expected = floats_of(want);
  const auto width = static_cast<std::size_t>(want.shape.back());
  for (std::size_t i = 0; i < expected.size(); ++i) {
    if (i % width >= width - static_cast<std::size_t>(skipped))
      continue;
    ASSERT_LE(std::abs(have[i] - expected[i]), 3e-5 * (1 + std::abs(expected[i])))
        << what << " at " << i << ": " << have[i] << ", expected " << expected[i];
  }
}

TEST(DiffusionGolden, ForwardMatchesEveryFixture) {
  DLM_REQUIRE_DATA("fixtures/bd3lm_bs4");
  const Words block = {"logits", "log_probs", "nelbo_terms", "nlls", "loss"};
  const std::map<std::string, Words> fixtures = {
      {"bd3lm_bs1", block},
      {"bd3lm_bs4", block},
      {"bd3lm_bs8", block},
      {"bd3lm_bs16", block},
      {"bd3lm_bs64", block},
      {"bd3lm_bs8_noadaln", block},
      {"bd3lm_bs8_timecond", block},
      {"bd3lm_pretrain", block},
      {"bd3lm_pretrain_timecond", block},
      {"mdlm_repo", {"logits", "log_probs", "nelbo_terms"}},
      {"sedd_bd3lms", {"logits", "log_score", "score_entropy", "loss_terms", "nlls", "loss"}},
      {"sedd_original", {"log_score", "score_entropy", "loss"}},
      {"ar_bd3lms", {"logits", "log_probs", "nlls", "loss"}},
      {"ar_mdlm", {"log_probs", "nlls"}}};
  for (const auto& [name, outputs] : fixtures) {
    const TemporaryFolder folder;
    const std::string fixture = data_path("fixtures/" + name);
    const std::string inputs = fixture + "/expected.safetensors";
    const ProcessResult result = dlmbench(
        {"forward", "--model", fixture, "--inputs", inputs, "--outputs", folder.file("out")});
    ASSERT_EQ(result.code, 0) << name << ": " << result.err;
    const auto expected = tensors_of(inputs);
    const auto got = tensors_of(folder.file("out"));
    for (const std::string& output : outputs) {
      ASSERT_TRUE(got.contains(output)) << name << ": " << output;
      // The mask's column of an autoregressive model is minus infinity by another name.
      const bool has_mask_column = name.starts_with("ar_") && output.starts_with("log");
      expect_tensor(got.at(output), expected.at(output), has_mask_column ? 1 : 0,
                    name + " " + output);
    }
  }
}

// A store and the runs in it.
class Diffusion : public ::testing::Test {
 protected:
  ProcessResult run(const Words& more, const std::string& command = "run") const {
    Words args{command, "--db", db_, "-o", "csv"};
    args.insert(args.end(), more.begin(), more.end());
    return dlmbench(args);
  }

  void expect_runs(const Words& more, const std::string& command = "run") const {
    const ProcessResult result = run(more, command);
    EXPECT_EQ(result.code, 0) << result.err;
  }

  // The first column of a query, without its heading.
  Words column(const std::string& sql) const {
    const ProcessResult result = dlmbench({"sql", sql, "--db", db_, "-o", "csv"});
    EXPECT_EQ(result.code, 0) << result.err;
    Words lines = split(result.out, '\n');
    lines.erase(lines.begin());
    while (!lines.empty() && lines.back().empty()) lines.pop_back();
    return lines;
  }

  std::vector<double> numbers(const std::string& sql) const {
    std::vector<double> values;
    for (const std::string& line : column(sql))
      values.push_back(std::strtod(line.c_str(), nullptr));
    return values;
  }

  TemporaryFolder folder_;
  std::string db_ = folder_.file("r.db");
};

constexpr const char* kTabular = "exact:tabular?v=4&l=8&seed=2";
constexpr const char* kTabularDraws = "draws:tabular?v=4&l=8&seed=2&documents=25";

TEST_F(Diffusion, EnumerateAndOrderAreTheChainRule) {
  expect_runs({"--model", kTabular, "--task", kTabularDraws});
  const auto truth = numbers("select nll from sample order by doc_id");
  ASSERT_EQ(truth.size(), 25U);
  for (const char* estimator : {"enumerate", "order"}) {
    expect_runs({"--model", kTabular, "--task", kTabularDraws, "--estimator", estimator,
                 "--block-size", "1,2,4,8", "--fresh"});
  }
  const auto runs = column("select run_id from run order by run_id");
  ASSERT_EQ(runs.size(), 9U);
  for (const std::string& id : runs) {
    const auto nll = numbers("select nll from sample where run_id='" + id + "' order by doc_id");
    ASSERT_EQ(nll.size(), truth.size());
    for (std::size_t i = 0; i < nll.size(); ++i) EXPECT_NEAR(nll[i], truth[i], 8e-10) << id;
  }
  EXPECT_EQ(numbers("select max(abs(se_mc)) from metric").front(), 0);
}

TEST_F(Diffusion, RowsDoNotDependOnBatchOrThreads) {
  const Words base{"--model",      "exact:markov?v=5&seed=1",
                   "--task",       "draws:markov?v=5&seed=1&documents=20&length=24",
                   "--estimator",  "stratified",
                   "--block-size", "8",
                   "--draws",      "4"};
  for (const Words& more :
       {Words{"-b", "1"}, Words{"-b", "7"}, Words{"-b", "20", "--threads", "1"}}) {
    Words args = base;
    args.insert(args.end(), more.begin(), more.end());
    expect_runs(args);
  }
  EXPECT_EQ(column("select count(distinct nll||'/'||nll_m2) from sample"), Words{"20"});
  EXPECT_EQ(column("select distinct n_mc from sample"), Words{"2"});
  EXPECT_EQ(column("select count(distinct json_extract(identity_json,'$.pairing_key')) from run"),
            Words{"1"});
}

TEST_F(Diffusion, StopsAtTheSameDocumentAtAnyBatch) {
  for (const char* batch : {"1", "6", "64"}) {
    expect_runs({"--model", "exact:markov?v=5&seed=1", "--task",
                 "draws:markov?v=5&seed=1&documents=400&length=24", "--estimator", "stratified",
                 "--block-size", "8", "--target-ci", "5%", "-b", batch});
  }
  const Words counts = column("select count(*) from sample group by run_id");
  ASSERT_EQ(counts.size(), 3U);
  EXPECT_EQ(counts, Words(3, counts.front()));
  const double n = std::strtod(counts.front().c_str(), nullptr);
  EXPECT_GE(n, 50);
  EXPECT_LT(n, 400);
  EXPECT_EQ(column("select distinct value from metric where metric='mask_draws'").size(), 1U);
  const auto widths = numbers("select (ci_hi-ci_lo)/2/value from metric where metric='perplexity'");
  for (const double width : widths) EXPECT_LE(width, 0.0502);
}

// Chunks of a document say little more than the document: the rule counts clusters, as the stored
// interval does. Two long documents never meet a target, and many meet it at the end of one.
TEST_F(Diffusion, ATargetIsMetByClustersOfChunks) {
  const auto ask = [&](const std::string& shape) {
    const ProcessResult result =
        run({"--model", "exact:markov?v=8&seed=1", "--task", "draws:markov?v=8&seed=1&" + shape,
             "--packing", "packed", "--length", "16", "--target-ci", "5%"});
    EXPECT_EQ(result.code, 0) << result.err;
    return result.err;
  };
  const std::string few = ask("documents=2&length=2000");
  EXPECT_NE(few.find("all 250 documents did not meet the target"), std::string::npos) << few;
  const std::string many = ask("documents=400&length=64");
  EXPECT_NE(many.find("the target was met after"), std::string::npos) << many;
  const std::string last = " where run_id=(select max(run_id) from run)";
  const auto clusters = numbers("select n_clusters from metric" + last + " and metric='nll'").at(0);
  EXPECT_GE(clusters, 50);
  EXPECT_EQ(numbers("select count(*) from sample" + last).at(0), 4 * clusters);
  EXPECT_LE(
      numbers("select (ci_hi-ci_lo)/2/value from metric" + last + " and metric='perplexity'").at(0),
      0.0502);
}

TEST_F(Diffusion, ScheduleFindsTheIntervalAndCostTheGain) {
  const Words base{"--model",      "exact:markov?v=8&seed=1",
                   "--task",       "draws:markov?v=8&seed=1&documents=32&length=64",
                   "--block-size", "4"};
  Words schedule = base;
  schedule.insert(schedule.end(), {"-b", "16"});
  expect_runs(schedule, "schedule");
  EXPECT_EQ(column("select count(*) from metric where metric='nelbo_variance'"), Words{"36"});
  const auto best = numbers("select min(value) from metric where metric='nelbo_variance'");
  const auto whole =
      numbers("select value from metric where metric='nelbo_variance' and variant='[0.001, 1]'");
  EXPECT_LT(2.5 * best.front(), whole.front());
  // A run has the same of the whole interval as a metric.
  Words metric = schedule;
  metric.insert(metric.end(), {"--metrics", "nelbo_variance"});
  const ProcessResult refused = run(metric);
  EXPECT_EQ(refused.code, 1) << refused.out;
  EXPECT_NE(refused.err.find("must be left out"), std::string::npos) << refused.err;
  metric.insert(metric.end(), {"--estimator", "stratified"});
  expect_runs(metric);
  EXPECT_EQ(numbers("select value from metric where metric='nelbo_variance' and variant=''"),
            whole);
  Words cost = base;
  cost.insert(cost.end(), {"-n", "10", "--repeats", "20"});
  expect_runs(cost, "cost");
  EXPECT_GT(numbers("select value from metric where metric='passes_ratio'").front(), 10);
}

TEST_F(Diffusion, GradientMeasuresEveryDrawOfNoise) {
  const TemporaryFolder folder;
  write_random_dit(folder.file("model"), {.layers = 1, .prefix = ""});
  const Words args{"--model", folder.file("model"),
                   "--task",  "draws:markov?v=12&seed=1&documents=64&length=48",
                   "-b",      "8"};
  expect_runs(args, "gradient");
  const auto variance = [&](const std::string& draw) {
    return numbers("select value from metric where metric='gradient_variance' and variant='" +
                   draw + "'")
        .at(0);
  };
  for (const char* draw : {"published", "independent", "permuted"})
    EXPECT_LT(variance("counts"), variance(draw)) << draw;
  EXPECT_EQ(column("select count(*) from metric where metric='gradient_variance' and se_data > 0"),
            Words{"4"});
}

TEST_F(Diffusion, LawOfASamplerIsTheJointAtOneTokenAStep) {
  expect_runs({"--model", "exact:tabular?v=3&l=4&seed=2", "--sampler", "random",
               "--tokens-per-step", "1,2,4"},
              "law");
  const auto distance = numbers(
      "select value from metric join v_run using(run_id) where metric='kl_to_joint' order by "
      "tokens_per_step");
  ASSERT_EQ(distance.size(), 3U);
  EXPECT_NEAR(distance[0], 0, 1e-12);
  EXPECT_GT(distance[1], 1e-3);
  EXPECT_GT(distance[2], distance[1]);
  const auto total = numbers("select value from metric where metric='total_correlation' limit 1");
  EXPECT_NEAR(distance[2], total.front(), 1e-10);
  const ProcessResult refused = run({"--model", "exact:markov?v=3"}, "law");
  EXPECT_EQ(refused.code, 1);
  EXPECT_NE(refused.err.find("exact:tabular"), std::string::npos) << refused.err;
}

TEST_F(Diffusion, NetworkRowsAgreeAcrossBatchesAndPairAcrossPrecisions) {
  DLM_REQUIRE_DATA("fixtures/bd3lm_bs4");
  const std::string model = data_path("fixtures/bd3lm_bs4");
  const std::string task = "draws:markov?v=8&seed=1&documents=6&length=64";
  for (const Words& more :
       {Words{"-b", "1"}, Words{"-b", "6"}, Words{"--threads", "1"}, Words{"--dtype", "bf16"}}) {
    Words args{"--model", model, "--task", task, "--draws", "2"};
    args.insert(args.end(), more.begin(), more.end());
    expect_runs(args);
  }
  EXPECT_LT(numbers("select max(s) from (select max(nll)-min(nll) s from sample join v_run "
                    "using(run_id) where dtype='f32' group by doc_id)")
                .front(),
            1e-3);
  EXPECT_EQ(column("select count(distinct json_extract(identity_json,'$.pairing_key')) from run"),
            Words{"1"});
  EXPECT_EQ(column("select distinct est like 'upper bound: %stratified, L'' = 4, 2 draws' from "
                   "metric"),
            Words{"1"});
  const ProcessResult shown = dlmbench({"show", "--db", db_});
  EXPECT_NE(shown.out.find("pairing_key"), std::string::npos);
  EXPECT_NE(shown.out.find("≤"), std::string::npos);
}

TEST_F(Diffusion, BadInputIsRefusedByNameAndNothingIsWritten) {
  DLM_REQUIRE_DATA("fixtures/bd3lm_bs4");
  const std::string model = data_path("fixtures/bd3lm_bs4");
  const auto draws = [](const std::string& query) {
    return "draws:markov?seed=1&documents=4&" + query;
  };

  struct Case {
    Words args;
    Words said;
  };

  const std::vector<Case> cases = {
      {{"--task", draws("v=8&length=64"), "--block-size", "8"}, {"block_size", "8", "4"}},
      {{"--task", draws("v=8&length=62")}, {"block_size", "62", "packed"}},
      {{"--task", draws("v=131&length=64")}, {"token", "130", "mask"}},
      {{"--task", draws("v=200&length=64")}, {"token", "vocabulary", "130"}},
      {{"--task", draws("v=8&length=64"), "--estimator", "exact"}, {"estimator", "exact"}},
      {{"--task", draws("v=8&length=64"), "--estimator", "strat"}, {"estimator", "strat"}},
      {{"--task", draws("v=8&length=64"), "--draws", "4", "--replicates", "3"}, {"replicates"}},
      {{"--task", draws("v=8&length=64"), "--t-min", "0.5", "--t-max", "0.2"}, {"t_min"}},
      {{"--task", draws("v=8&length=64"), "--packing", "sliding"}, {"packing"}},
      {{"--task", draws("v=8&length=64"), "--tokenizer", "/no/such"}, {"/no/such"}},
      {{"--task", "wikitext2"}, {"tokenizer"}}};
  for (const Case& one : cases) {
    Words args{"--model", model, "-q"};
    args.insert(args.end(), one.args.begin(), one.args.end());
    const ProcessResult result = run(args);
    EXPECT_EQ(result.code, 1) << result.err;
    EXPECT_EQ(std::count(result.err.begin(), result.err.end(), '\n'), 1) << result.err;
    for (const std::string& word : one.said)
      EXPECT_NE(result.err.find(word), std::string::npos) << word << " not in " << result.err;
    EXPECT_FALSE(std::filesystem::exists(db_)) << result.err;
  }
}

}  // namespace
}  // namespace dlm::testing
