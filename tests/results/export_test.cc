#include <algorithm>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "harness/base/json.h"
#include "results/export_formats.h"
#include "tests/results/evidence_store.h"
#include "tests/results/expect_error.h"

namespace dlm {
namespace {

using testing::EvidenceStore;
using testing::noise;

std::string add_with_nll(EvidenceStore& evidence, const std::string& name, double shift) {
  const auto run = evidence.add(name, 100, [&](std::int64_t i, ExampleRow& row) {
    row.nll += 50 * (shift + 0.001 * noise(i, name.size()));
  });
  double nll = 0;
  for (const ExampleRow& row : evidence.store().rows(run)) nll += row.nll / 5000;
  evidence.estimate(run, "nll", nll, 0.05);
  return run;
}

// The paired test tells 0.01 nats apart although each value has a standard error of 0.05.
TEST(ExportLatex, BoldOnlyWhereTheBestDiffersFromAllOthers) {
  EvidenceStore evidence;
  const auto a = add_with_nll(evidence, "a", 0);
  const auto b = add_with_nll(evidence, "bb", 0.01);
  const auto c = add_with_nll(evidence, "ccc", 0.02);
  const std::string all = export_latex(evidence.store(), std::vector<std::string>{a, b, c});
  EXPECT_EQ(std::count(all.begin(), all.end(), '\n'), 10);
  const auto bold = all.find("\\textbf");
  ASSERT_NE(bold, std::string::npos) << all;
  EXPECT_EQ(all.find("\\textbf", bold + 1), std::string::npos) << all;
  const auto twin = add_with_nll(evidence, "dddd", 0);
  const std::string tie = export_latex(evidence.store(), std::vector<std::string>{a, b, twin});
  EXPECT_EQ(tie.find("\\textbf"), std::string::npos) << tie;
  EXPECT_CONTAINS(tie, "nll $\\downarrow$");
}

// Another task has other text: its value is neither better nor worse, though far away. The standard
// errors are small beside the distance.
TEST(ExportLatex, BoldIsWithinATask) {
  EvidenceStore evidence;
  const auto a = add_with_nll(evidence, "a", 0);
  const auto b = add_with_nll(evidence, "bb", 0.01);
  RunHeader header = testing::sample_header("other");
  header.task_name = "code";
  header.data_sha256 = "dd";
  const auto other = evidence.add(header, 100, [](std::int64_t i, ExampleRow& row) {
    row.doc_id = fmt::format("code-{:06}", i);
    row.nll = 10;
  });
  evidence.estimate(other, "nll", 0.2, 0.01);
  const std::string two = export_latex(evidence.store(), std::vector<std::string>{a, other});
  EXPECT_EQ(two.find("\\textbf"), std::string::npos) << two;
  const std::string three = export_latex(evidence.store(), std::vector<std::string>{a, b, other});
  const auto bold = three.find("\\textbf");
  ASSERT_NE(bold, std::string::npos) << three;
  EXPECT_LT(bold, three.find("tiny, code")) << three;
  EXPECT_EQ(three.find("\\textbf", bold + 1), std::string::npos) << three;
}

TEST(ExportLatex, RowsAreNamedByWhatEveryRunHas) {
  EvidenceStore evidence;
  const auto add = [&](const std::string& name, const std::string& spec) {
    RunHeader header = testing::sample_header(name);
    header.spec_json = spec;
    const auto run = evidence.add(header, 10, [](std::int64_t, ExampleRow&) {});
    evidence.estimate(run, "nll", 3, 0.1);
    return run;
  };
  const std::vector<std::string> runs = {
      add("a", R"({"seed":7,"estimator":{"draws":2,"t_max":1}})"),
      add("b", R"({"seed":8,"sampler":{"name":"entropy","top_k":3}})")};
  const std::string table = export_latex(evidence.store(), runs);
  EXPECT_CONTAINS(table, "tiny, corpus, seed 7 &");
  EXPECT_CONTAINS(table, "tiny, corpus, seed 8 &");
}

TEST(ExportLmEval, WritesResultsAndSamplesUnderTheirNames) {
  EvidenceStore evidence;
  RunHeader header = testing::sample_header("x");
  header.model_name = "../../etc/evil";
  header.task_name = "gsm8k \"5\" \xff";
  const auto run = evidence.add(header, 2, [](std::int64_t i, ExampleRow& row) {
    row.output = i == 0 ? "quote \" and \xff" : "";
    row.score = 1.0;
  });
  evidence.estimate(run, "exact_match", 0.5, 0.1);
  const auto files = export_lm_eval(evidence.store(), std::vector<std::string>{run});
  ASSERT_EQ(files.size(), 2U);
  for (const ExportedFile& file : files) {
    EXPECT_EQ(std::count(file.path.begin(), file.path.end(), '/'), 1) << file.path;
    EXPECT_FALSE(file.path.starts_with("."));
  }
  const Json results = parse_json(files[0].content, "results");
  const Json task = results.at("results").begin().value();
  EXPECT_EQ(task.at("exact_match,none"), 0.5);
  EXPECT_EQ(task.at("exact_match_stderr,none"), 0.1);
  EXPECT_EQ(results.at("higher_is_better").begin().value().at("exact_match"), true);
  const std::string& lines = files[1].content;
  EXPECT_EQ(std::count(lines.begin(), lines.end(), '\n'), 2);
  const Json sample = parse_json(lines.substr(0, lines.find('\n')), "sample");
  EXPECT_EQ(sample.at("resps")[0][0], "quote \" and \uFFFD");
  EXPECT_EQ(sample.at("score"), 1.0);
}

TEST(ExportGoogleBenchmark, HasOneEntryARunWithItsRate) {
  EvidenceStore evidence;
  const auto run = evidence.add("x", 4, [](std::int64_t, ExampleRow& row) { row.wall_ns = 2000; });
  const Json json = parse_json(
      export_google_benchmark(evidence.store(), std::vector<std::string>{run}), "benchmark");
  ASSERT_EQ(json.at("benchmarks").size(), 1U);
  const Json& entry = json.at("benchmarks")[0];
  EXPECT_EQ(entry.at("real_time"), 2000.0);
  EXPECT_EQ(entry.at("items_per_second"), 50 / 2e-6);
  EXPECT_EQ(entry.at("time_unit"), "ns");
  EXPECT_EQ(json.at("context").at("host_name"), "here");
}

}  // namespace
}  // namespace dlm
