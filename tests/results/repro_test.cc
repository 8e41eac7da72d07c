#include "results/repro.h"

#include <cmath>
#include <filesystem>
#include <set>

#include <gtest/gtest.h>

#include "harness/base/error.h"
#include "harness/base/file.h"
#include "harness/base/json.h"
#include "harness/base/spec.h"
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
run = "dlmbench run --model {model} --task '{task}' # then rest"
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
            "dlmbench run --model tiny --task 'corpus' --block-size 8 # then rest");
  EXPECT_EQ(paper.cells[2].asked.run->block_size, 8);
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
  EXPECT_CONTAINS(error("--model {model}", "--modle {model}"), "did you mean 'model'");
  EXPECT_CONTAINS(error("{ block_size = \"4\"", "{ block_size = \"small\""), "small");
  EXPECT_CONTAINS(error("z = 3.0", "z = 3.0, n = 250"), "perplexity");
}

PaperCell cell_of(const std::string& claimed, const Tolerance& tolerance) {
  PaperCell cell;
  cell.claimed = claimed;
  cell.metric = "accuracy";
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

// A run of `spec`, as the program stores its settings.
std::string add_run(EvidenceStore& evidence, const std::string& name, const RunSpec& spec) {
  RunHeader header = testing::sample_header(name);
  header.spec_json = canonical_json(run_fields(SpecPart::kScore).to_json(spec, false));
  header.smoke = spec.limit > 0;
  const auto run = evidence.add(header, 3, [](std::int64_t, ExampleRow&) {});
  evidence.estimate(run, "perplexity", 20.1, 0.1);
  return run;
}

TEST(Repro, TakesTheRunOfTheSameModelTaskAndSettings) {
  EvidenceStore evidence;
  RunSpec spec;
  spec.block_size = 4;
  spec.batch_size = 32;  // free, as are threads and device
  spec.threads = 1;
  spec.device = "cuda";
  const auto run = add_run(evidence, "a", spec);
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

// Options of the cell's own command count, and so do the defaults of what it does not name: a run
// of other windows, of some of the documents or of something else is none of it.
TEST(Repro, JudgesNoRunOfOtherSettings) {
  EvidenceStore evidence;
  RunSpec spec;
  spec.block_size = 4;
  spec.scoring.length = 64;
  spec.scoring.bos = "none";
  const auto windows = add_run(evidence, "windows", spec);
  RunSpec limited;
  limited.block_size = 4;
  limited.limit = 3;
  add_run(evidence, "limited", limited);
  RunHeader gradient = testing::sample_header("gradient");
  gradient.identity_json = R"({"measures":"gradient"})";
  gradient.run_key = sha256_hex(gradient.identity_json);
  RunSpec same;
  same.block_size = 4;
  gradient.spec_json = canonical_json(run_fields(SpecPart::kScore).to_json(same, false));
  evidence.estimate(evidence.add(gradient, 3, [](std::int64_t, ExampleRow&) {}), "perplexity", 20,
                    0.1);
  const auto results = reproduce(evidence.store(), parse_paper(kPaper, "p.toml"), "");
  EXPECT_EQ(results[1].verdict, CellVerdict::kNotRun);
  EXPECT_CONTAINS(results[1].nearest, "--limit 3");
  EXPECT_CONTAINS(render(repro_table(results), "md"), results[1].nearest);
  std::string packed = kPaper;
  packed.replace(packed.find(" # then"), 7, " --length 64 --bos none # then");
  const auto exact = reproduce(evidence.store(), parse_paper(packed, "p.toml"), "");
  EXPECT_EQ(exact[1].run_id, windows);
  std::string some = kPaper;
  some.replace(some.find(" # then"), 7, " --limit 3 # then");
  EXPECT_EQ(reproduce(evidence.store(), parse_paper(some, "p.toml"), "")[1].verdict,
            CellVerdict::kHolds);
}

// ln 20.1 = 3.0007, with a standard error of 0.1 / 20.1.
TEST(Repro, AClaimMayBeALogarithm) {
  EvidenceStore evidence;
  RunSpec spec;
  spec.block_size = 4;
  add_run(evidence, "a", spec);
  std::string toml = kPaper;
  toml.replace(toml.find("z = 3.0"), 7, "z = 3.0, logarithm = true");
  toml.replace(toml.find("20.0"), 4, "3.00");
  const auto cell = reproduce(evidence.store(), parse_paper(toml, "p.toml"), "").at(1);
  EXPECT_NEAR(cell.ours.value_or(0), std::log(20.1), 1e-12);
  EXPECT_NEAR(cell.std_error.value_or(0), 0.1 / 20.1, 1e-12);
  EXPECT_EQ(cell.verdict, CellVerdict::kHolds);
}

// Passes a text: 50 in each document of the test's store. A claim without a command is never
// judged.
TEST(Repro, CellsOfWhatFollowsFromTheRowsAndOfWhatCanNotBeRun) {
  EvidenceStore evidence;
  RunSpec spec;
  spec.block_size = 4;
  add_run(evidence, "a", spec);
  std::string toml = kPaper;
  toml.replace(toml.find("\"perplexity\""), 12, "\"nfe\"");
  EXPECT_EQ(reproduce(evidence.store(), parse_paper(toml, "p.toml"), "").at(1).ours, 50);
  const auto run = toml.find("dlmbench");
  toml.erase(run, toml.find('"', run) - run);
  EXPECT_EQ(reproduce(evidence.store(), parse_paper(toml, "p.toml"), "").at(1).verdict,
            CellVerdict::kNotRun);
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
      // What is run is a run; `score` reads text that another command wrote.
      EXPECT_TRUE(cell.asked.run || cell.command.empty() || cell.asked.name == "score mauve")
          << cell.command;
    }
  }
  EXPECT_EQ(cells.at("bd3lm"), 128U);
  EXPECT_EQ(cells.at("adjust"), 70U);
  EXPECT_EQ(cells.at("fast-dllm"), 64U);
  EXPECT_EQ(cells.at("bd3lm-small"), 10U);
  EXPECT_EQ(cells.at("adjust-small"), 21U);
}

}  // namespace
}  // namespace dlm
