#include "results/report.h"

#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "harness/base/error.h"
#include "tests/results/expect_error.h"
#include "tests/results/sample_run.h"
#include "tests/support/data.h"

namespace dlm {
namespace {

using testing::error_of;
using testing::sample_header;

// Two finished runs of a sweep over block_size and a failed one, with round numbers.
struct Sweep {
  testing::TemporaryFolder folder;
  std::unique_ptr<Store> store = Store::open(folder.file("runs.db"), {});
  std::vector<std::string> runs;

  Sweep() {
    add("a", R"({"sampler":{"block_size":4,"name":"ancestral"},"task":"corpus"})", 22.270123, 0.03);
    add("b", R"({"sampler":{"block_size":16,"name":"ancestral"},"task":"corpus"})", 24.5, 0.0);
    runs.push_back(store->begin_run(sample_header("c"), Restart::kResume).run_id);
    store->finish_run(runs[2], {RunOutcome::kFailed, "it broke", 0, 0, 0, 1});
  }

  void add(const std::string& name, const std::string& spec, double perplexity, double se_mc) {
    RunHeader header = sample_header(name);
    header.spec_json = spec;
    const std::string run = store->begin_run(header, Restart::kResume).run_id;
    runs.push_back(run);
    std::vector<ExampleRow> rows = testing::sample_rows(0, 2);
    for (ExampleRow& row : rows) {
      row.nll = 6.25;
      row.tokens = 300;
      row.wall_ns = 250000000;
      row.counts = {60, 1000, 900, 50, 1e9};
      row.output = "some, text";
      row.nll_m2 = 0.5;
      row.n_mc = 2;
      row.canvas_tokens = 0;
      row.kept_tokens = 0;
    }
    rows[1].score = 0.25;
    store->add_rows(run, rows);
    const std::vector<Estimate> estimates = {
        {"nll", "", 3.1, 0.01, std::nullopt, std::nullopt, std::nullopt, "", 2, 2},
        {"perplexity", "", perplexity, 0.19, se_mc, 21.9, 22.65, "t", 2, 2}};
    const std::vector<MetricDefinition> definitions = {
        {"nll", "nats/token", "lo", "exact", ""},
        {"perplexity", "1", "lo", "upper bound, stratified", ""}};
    store->add_estimates(run, estimates, definitions);
    store->finish_run(run, {RunOutcome::kDone, "", 1500000000, 250000000, 4096, 2});
  }
};

TEST(EstimatesTable, ShowsASweepAsOneTable) {
  Sweep s;
  EXPECT_EQ(render(estimates_table(*s.store, std::span(s.runs).first(2)), "md"),
            "| model | task   | block_size | metric     |     |  value | ± data | ± mc |         "
            "95% CI | n docs "
            "| NFE | tokens/s |\n"
            "| ----- | ------ | ---------: | ---------- | --- | -----: | -----: | ---: | "
            "-------------: | -----: "
            "| --: | -------: |\n"
            "| tiny  | corpus |          4 | nll        | ↓   |  3.100 |  0.010 |      |           "
            "     |      2 "
            "| 120 |     1200 |\n"
            "| tiny  | corpus |          4 | perplexity | ↓   | ≤22.27 |   0.19 | 0.03 | [21.90, "
            "22.65] |      2 "
            "| 120 |     1200 |\n"
            "| tiny  | corpus |         16 | nll        | ↓   |  3.100 |  0.010 |      |           "
            "     |      2 "
            "| 120 |     1200 |\n"
            "| tiny  | corpus |         16 | perplexity | ↓   | ≤24.50 |   0.19 |    0 | [21.90, "
            "22.65] |      2 "
            "| 120 |     1200 |\n");
}

TEST(EstimatesTable, GivesProgramsEveryDigit) {
  Sweep s;
  EXPECT_EQ(render(estimates_table(*s.store, std::span(s.runs).first(1)), "csv"),
            "run_id,model,task,metric,variant,better,unit,value,se_data,se_mc,ci_low,ci_high,"
            "ci_method,n_docs,n,nfe,tokens_per_second_accepted,estimator,note\n" +
                s.runs[0] +
                ",tiny,corpus,nll,\"\",lo,nats/token,3.1,0.01,,,,\"\",2,2,120,1200,exact,\"\"\n" +
                s.runs[0] +
                ",tiny,corpus,perplexity,\"\",lo,1,22.270123,0.19,0.03,21.9,22.65,t,2,2,120,1200,"
                "\"upper bound, stratified\",\"\"\n");
}

TEST(EstimatesTable, WindowsOfADocumentAreNoDocuments) {
  Sweep s;
  const Estimate estimate = {"nll", "", 3.1, 0.01, 0.0, {}, {}, "", 524, 50};
  const MetricDefinition definition = {"nll", "nats/token", "lo", "exact", ""};
  s.store->add_estimates(s.runs[2], std::span(&estimate, 1), std::span(&definition, 1));
  const Table table = estimates_table(*s.store, std::span(s.runs).subspan(2));
  EXPECT_CONTAINS(render(table, "md"), "| 50 (524 rows) |");
  EXPECT_CONTAINS(render(table, "jsonl"), "\"n_docs\": 50, \"n\": 524,");
}

TEST(EstimatesTable, NeverShowsASmallErrorAsNone) {
  Sweep s;
  const Estimate estimate = {"nll", "k=2", 3.14159, 0.5, 0.0004, {}, {}, "", 2, 2};
  const MetricDefinition definition = {"nll", "nats/token", "lo", "lower bound", ""};
  s.store->add_estimates(s.runs[2], std::span(&estimate, 1), std::span(&definition, 1));
  const Table table = estimates_table(*s.store, std::span(s.runs).subspan(2));
  EXPECT_EQ(
      render(table, "md"),
      "| model | task   | metric | variant |     | value | ± data |   ± mc | 95% CI | n docs | NFE "
      "| tokens/s | note   |\n"
      "| ----- | ------ | ------ | ------- | --- | ----: | -----: | -----: | -----: | -----: | --: "
      "| -------: | ------ |\n"
      "| tiny  | corpus | nll    | k=2     | ↓   | ≥3.14 |   0.50 | 0.0004 |        |      2 |     "
      "|          | failed |\n");
}

TEST(RunsTable, ListsAndFilters) {
  Sweep s;
  const Table all = runs_table(*s.store, {});
  ASSERT_EQ(all.rows.size(), 3U);
  Table shown = all;
  for (auto& row : shown.rows) row[0] = row[9] = "x";
  EXPECT_EQ(
      render(shown, "md"),
      "| run | model | task   | block_size | seed | status | rows | n docs | started | wall s | "
      "error    |\n"
      "| --- | ----- | ------ | ---------- | ---: | ------ | ---: | -----: | ------- | -----: | "
      "-------- |\n"
      "| x   | tiny  | corpus | 4          |    7 | done   |    2 |    100 | x       |  1.500 | "
      "         |\n"
      "| x   | tiny  | corpus | 16         |    7 | done   |    2 |    100 | x       |  1.500 | "
      "         |\n"
      "| x   | tiny  | corpus | 4          |    7 | failed |    0 |    100 | x       |      0 | "
      "it broke |\n");
  RunFilter filter;
  filter.status = "done";
  EXPECT_EQ(select_runs(*s.store, filter), std::vector<std::string>({s.runs[0], s.runs[1]}));
  filter.limit = 1;
  EXPECT_EQ(select_runs(*s.store, filter), std::vector<std::string>({s.runs[1]}));
  filter.model = "other";
  EXPECT_TRUE(select_runs(*s.store, filter).empty());
  EXPECT_TRUE(select_runs(*s.store, {"", "other", "", 0, false}).empty());
  EXPECT_EQ(select_runs(*s.store, {"tiny", "corpus", "failed", 0, false}).size(), 1U);
  EXPECT_EQ(error_of<ConfigError>([&] {
              select_runs(*s.store, {"", "", "don", 0, false});
            }),
            "status = 'don': unknown; did you mean 'done'?");
}

TEST(RunsTable, LeavesOutWhatWasMeasuredAnew) {
  Sweep s;
  s.store->begin_run(sample_header("a"), Restart::kFresh);
  EXPECT_EQ(select_runs(*s.store, {}).size(), 3U);
  RunFilter filter;
  filter.superseded = true;
  EXPECT_EQ(select_runs(*s.store, filter).size(), 4U);
}

TEST(ShowTables, TellEverythingOfOneRun) {
  Sweep s;
  const std::vector<Table> tables = show_tables(*s.store, s.runs[0]);
  ASSERT_EQ(tables.size(), 5U);
  EXPECT_EQ(tables[0].title, "run");
  EXPECT_CONTAINS(render(tables[0], "csv"), "git_commit,abc\n");
  EXPECT_CONTAINS(render(tables[0], "csv"), "status,done\n");
  EXPECT_EQ(render(tables[1], "csv"),
            "setting,value\nsampler.block_size,4\nsampler.name,ancestral\ntask,corpus\n");
  EXPECT_EQ(tables[2].title, "estimates");
  EXPECT_EQ(tables[2].rows.size(), 2U);
  EXPECT_EQ(render(tables[3], "csv"),
            "fact,value\nrows,2\ntokens,600\nprompt_tokens,2\nspecial_tokens,4\nnfe,120\n"
            "positions,2000\nhead_rows,1800\ncached_positions,100\nflops,2000000000\n"
            "examples_s,0.5\nwall_s,1.5\nload_s,0.25\npeak_rss_bytes,4096\nthreads,2\n"
            "tokens_per_second_accepted,1200\ntokens_per_forward,5\n"
            "flops_per_second,4000000000\n");
  EXPECT_EQ(tables[4].title, "data");
  EXPECT_EQ(render(tables[4], "csv"), "fact,value\ncounts.dropped_tokens,7\nsplit,lines\n");
}

TEST(ExportRows, GivesRowsMetricsAndRuns) {
  Sweep s;
  EXPECT_EQ(
      render(export_rows(*s.store, std::span(s.runs).first(1), "examples"), "csv"),
      "run_id,doc_id,rep,doc_sha,cluster,score,nll,nll_m2,n_mc,n_tok,n_bytes,n_words,prompt_tok,"
      "canvas_tok,kept_tok,special_tok,nfe,positions,head_rows,cached_positions,flops,wall_ns,"
      "exec_status,margin,output\n" +
          s.runs[0] +
          ",doc-0,0,sha-0,\"\",,6.25,0.5,2,300,500,80,1,0,0,2,60,1000,900,50,1000000000,250000000,"
          "\"\",,\"some, text\"\n" +
          s.runs[0] +
          ",doc-1,1,sha-1,cluster-1,0.25,6.25,0.5,2,300,501,80,1,0,0,2,60,1000,900,50,1000000000,"
          "250000000,passed,,\"some, text\"\n");
  const Table metrics = export_rows(*s.store, s.runs, "metrics");
  EXPECT_EQ(metrics.rows.size(), 4U);
  EXPECT_EQ(metrics.columns[1].name, "metric");
  const Table runs = export_rows(*s.store, s.runs, "runs");
  EXPECT_EQ(runs.rows.size(), 3U);
  EXPECT_EQ(export_rows(*s.store, {}, "runs").columns.size(), runs.columns.size());
  EXPECT_EQ(error_of<ConfigError>([&] { export_rows(*s.store, s.runs, "metric"); }),
            "export = 'metric': unknown; did you mean 'metrics'?");
}

}  // namespace
}  // namespace dlm
