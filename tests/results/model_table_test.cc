// One line a model from several runs of it: which cell a run fills, what people and programs see,
// and what is refused.
#include "results/model_table.h"

#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "harness/base/error.h"
#include "tests/results/sample_run.h"
#include "tests/support/data.h"

namespace dlm {
namespace {

Estimate estimate(const char* metric, const char* variant, double value, double error) {
  Estimate one;
  one.metric = metric;
  one.variant = variant;
  one.value = value;
  one.se_data = error;
  one.se_mc = 0;
  one.ci_low = value - 2 * error;
  one.ci_high = value + 2 * error;
  one.n = 10;
  return one;
}

class ModelTable : public ::testing::Test {
 protected:
  // A run of `model`; text that it generated took 2 passes and 1 ms a token.
  std::string add(const std::string& model, const char* kind, const Estimate& one,
                  const char* estimator = "mean") {
    RunHeader header = testing::sample_header(model + kind + one.metric);
    header.model_name = model;
    header.task_kind = kind;
    const std::string id = store_->begin_run(header, Restart::kResume).run_id;
    ExampleRow row = testing::sample_row(0);
    row.kept_tokens = 50;
    row.tokens = 50;
    row.counts.passes = 100;
    row.wall_ns = 50'000'000;
    store_->add_rows(id, std::vector<ExampleRow>{row});
    const MetricDefinition definition{one.metric, "1", "lo", estimator, ""};
    store_->add_estimates(id, std::span(&one, 1), std::span(&definition, 1));
    store_->finish_run(id, {});
    return id;
  }

  std::string error_of(const std::vector<std::string>& runs, const ModelTableSpec& spec) {
    try {
      (void)model_table(*store_, runs, spec);
    } catch (const ConfigError& error) {
      return error.what();
    }
    return "nothing thrown";
  }

  testing::TemporaryFolder folder_;
  std::unique_ptr<Store> store_ = Store::open(folder_.file("r.db"), {});
};

TEST_F(ModelTable, RunsOfAModelShareItsLine) {
  const std::vector<std::string> runs{
      add("b", "likelihood", estimate("perplexity", "", 11.4283, 0.094), "upper bound: stratified"),
      add("a", "likelihood", estimate("perplexity", "", 4.738, 0.032)),
      add("b", "samples", estimate("generative_perplexity", "pooled", 245.5, 2.25)),
      add("c", "likelihood", estimate("nll", "", 1, 0.1))};
  const ModelTableSpec spec{"Small",
                            {"perplexity", "generative_perplexity/pooled", "nfe_per_token",
                             "tokens_per_second", "scored_tokens_per_second"}};
  const Table table = model_table(*store_, runs, spec);
  EXPECT_EQ(table.title, "Small");
  EXPECT_EQ(render(table, "md"),
            "### Small\n\n"
            "| model |               perplexity | generative_perplexity/pooled | nfe_per_token | "
            "tokens_per_second | scored_tokens_per_second |\n"
            "| ----- | -----------------------: | ---------------------------: | ------------: | "
            "----------------: | -----------------------: |\n"
            "| b     | ≤11.428 [11.240, 11.616] |         245.5 [241.0, 250.0] |             2 | "
            "             1000 |                     1000 |\n"
            "| a     |     4.738 [4.674, 4.802] |                              |               | "
            "                  |                     1000 |\n"
            "| c     |                          |                              |               | "
            "                  |                     1000 |\n");
  const std::string rows = render(table, "csv");
  EXPECT_NE(rows.find("perplexity,perplexity_ci_low,perplexity_ci_high"), std::string::npos)
      << rows;
  EXPECT_NE(rows.find("b,11.4283,"), std::string::npos) << rows;
}

TEST_F(ModelTable, TwoRunsForACellAndColumnsThatNoneGivesAreRefused) {
  const std::vector<std::string> runs{add("a", "likelihood", estimate("nll", "", 1, 0.1)),
                                      add("a", "text", estimate("nll", "", 2, 0.1))};
  EXPECT_NE(error_of(runs, {"T", {"nll"}}).find("two give that of a"), std::string::npos)
      << error_of(runs, {"T", {"nll"}});
  EXPECT_NE(error_of({runs[0]}, {"T", {"nlll"}}).find("'nll'"), std::string::npos)
      << error_of({runs[0]}, {"T", {"nlll"}});
  EXPECT_EQ(error_of({runs[0]}, {"T", {"nll"}}), "nothing thrown");
}

}  // namespace
}  // namespace dlm
