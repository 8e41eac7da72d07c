#include "results/repro.h"

#include <filesystem>
#include <set>

#include <gtest/gtest.h>

#include "harness/base/error.h"
#include "harness/base/file.h"
#include "tests/results/evidence_store.h"
#include "tests/results/expect_error.h"

namespace dlm {
namespace {

using testing::error_of;
using testing::EvidenceStore;

constexpr const char* kPaper = R"(
name = "a paper"
[[table]]
id = "1"
run = "dlmbench run --model {model} --task {task} # then rest"
needs = ["weights"]
tolerance = { class = "statistical", z = 3.0 }
metric = "perplexity"
columns = ["L'=4", "L'=8"]
[table.rows]
"AR" = ["17.54", ""]
"tiny" = ["20.0", "21"]
[table.models]
"AR" = "ar"
"tiny" = "tiny"
[table.tasks]
"L'=4" = "corpus"
"L'=8" = "corpus"
[table.settings]
"L'=4" = { block_size = "4" }
"L'=8" = { block_size = "8" }
)";

TEST(Repro, ReadsEveryCellWithItsCommand) {
  const Paper paper = parse_paper(kPaper, "p.toml");
  ASSERT_EQ(paper.cells.size(), 3U);
  EXPECT_EQ(paper.cells[2].claimed, "21");
  EXPECT_EQ(paper.cells[2].command,
            "dlmbench run --model tiny --task corpus --block-size 8 # then rest");
  const auto error = [](const std::string& from, const std::string& to) {
    std::string toml = kPaper;
    toml.replace(toml.find(from), from.size(), to);
    return error_of<ConfigError>([&] { parse_paper(toml, "p.toml"); });
  };
  EXPECT_CONTAINS(error("columns =", "colums ="), "did you mean 'columns'");
  EXPECT_CONTAINS(error("\"20.0\", \"21\"", "\"20.0\""), "1 values");
  EXPECT_CONTAINS(error("17.54", "a lot"), "must be a number");
  EXPECT_CONTAINS(error("statistical", "statistic"), "did you mean 'statistical'");
  EXPECT_CONTAINS(error("\"AR\" = \"ar\"", "\"AS\" = \"ar\""), "neither the row nor the column");
}

PaperCell cell_of(const std::string& claimed, const Tolerance& tolerance) {
  PaperCell cell;
  cell.claimed = claimed;
  cell.metric = "exact_match";
  cell.tolerance = tolerance;
  return cell;
}

CellVerdict verdict_of(const PaperCell& cell, double ours, double error) {
  return judge_cell(cell, ours, error).verdict;
}

TEST(Repro, JudgesByTheClassOfTheTolerance) {
  Tolerance tolerance;
  const PaperCell statistical = cell_of("20.0", tolerance);
  EXPECT_EQ(verdict_of(statistical, 20.25, 0.1), CellVerdict::kHolds);
  EXPECT_EQ(verdict_of(statistical, 20.35, 0.1), CellVerdict::kOff);
  // The rounding alone: 0.05 / sqrt(3) is one standard error.
  EXPECT_NEAR(judge_cell(statistical, 20.05, 0.0).z.value_or(0), 1.732, 0.001);
  tolerance.n_claimed = 250;
  tolerance.scale = 100;
  // 80 % of 250 has a standard error of 2.53 points.
  EXPECT_NEAR(judge_cell(cell_of("80.0", tolerance), 77.47, std::nullopt).z.value_or(0), -1, 0.01);
  tolerance = {};
  tolerance.kind = ToleranceClass::kExact;
  EXPECT_EQ(verdict_of(cell_of("0.87", tolerance), 0.8749, 0), CellVerdict::kHolds);
  EXPECT_EQ(verdict_of(cell_of("0.87", tolerance), 0.8751, 0), CellVerdict::kOff);
  tolerance.kind = ToleranceClass::kSystematic;
  tolerance.relative = 0.02;
  EXPECT_EQ(verdict_of(cell_of("100", tolerance), 101.9, 0), CellVerdict::kHolds);
  EXPECT_EQ(verdict_of(cell_of("100", tolerance), 102.1, 0), CellVerdict::kOff);
}

TEST(Repro, TakesTheRunOfTheSameModelTaskAndSettings) {
  EvidenceStore evidence;  // sample_header: model tiny, task corpus, block size 4
  const auto run = evidence.add("a", 3, [](std::int64_t, ExampleRow&) {});
  evidence.estimate(run, "perplexity", 20.1, 0.1);
  const auto results = reproduce(evidence.store(), parse_paper(kPaper, "p.toml"), "");
  ASSERT_EQ(results.size(), 3U);
  EXPECT_EQ(results[0].verdict, CellVerdict::kNotRun);
  EXPECT_EQ(results[1].verdict, CellVerdict::kHolds);
  EXPECT_EQ(results[1].run_id, run);
  EXPECT_EQ(results[2].verdict, CellVerdict::kNotRun);
  const std::string md = render(repro_table(results), "md");
  EXPECT_CONTAINS(md, "not run: weights");
  EXPECT_CONTAINS(md, "holds");
  EXPECT_EQ(missing_table(results).rows.size(), 2U);
  EXPECT_CONTAINS(error_of<ConfigError>(
                      [&] { reproduce(evidence.store(), parse_paper(kPaper, "p.toml"), "2"); }),
                  "table");
}

TEST(Repro, ThePapersOfTheProjectAreWhole) {
  const std::filesystem::path folder = DLM_PAPERS;
  std::map<std::string, std::size_t> cells;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    const std::string path = entry.path().string();
    const Paper paper = parse_paper(MappedFile::open(path)->text(), path);
    cells[entry.path().stem().string()] = paper.cells.size();
    for (const PaperCell& cell : paper.cells) {
      EXPECT_FALSE(cell.metric.empty() || cell.needs.empty()) << path << " " << cell.row;
      EXPECT_EQ(cell.command.find('{'), std::string::npos) << cell.command;
    }
  }
  EXPECT_EQ(cells.at("bd3lm"), 128U);
  EXPECT_EQ(cells.at("adjust"), 70U);
  EXPECT_EQ(cells.at("fast-dllm"), 64U);
}

}  // namespace
}  // namespace dlm
