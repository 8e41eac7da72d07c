#include "results/gate.h"

#include <chrono>
#include <cmath>
#include <thread>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "harness/base/error.h"
#include "harness/base/json.h"
#include "results/compare_measures.h"
#include "tests/results/evidence_store.h"
#include "tests/results/expect_error.h"

namespace dlm {
namespace {

using testing::error_of;
using testing::EvidenceStore;
using testing::noise;
using testing::sample_header;

void as_is(std::int64_t, ExampleRow&) {}

// The header of one suite entry as a build measures it: another commit, the same place.
RunHeader build(const std::string& commit) {
  RunHeader header = sample_header("suite");
  header.build_json = fmt::format(R"({{"git_commit":"{}","numerics_epoch":3}})", commit);
  return header;
}

// Rows whose times are `factor` of the usual ones.
testing::RowChange times(double factor) {
  return [factor](std::int64_t, ExampleRow& row) {
    row.wall_ns = static_cast<std::int64_t>(static_cast<double>(row.wall_ns) * factor);
  };
}

std::string add(EvidenceStore& evidence, const std::string& commit,
                const testing::RowChange& change) {
  return evidence.add(build(commit), 100, change, Restart::kFresh);
}

GateResult gate(EvidenceStore& evidence, const std::string& base, GateSpec spec = {}) {
  spec.baseline = base;
  return run_gate(evidence.store(), evidence.store(), spec, {});
}

TEST(Gate, UnchangedBuildPassesTenTimesInARow) {
  EvidenceStore evidence;
  for (int i = 0; i < 4; ++i) add(evidence, "aaaaaaaa", times(1 + 0.002 * noise(i, 31)));
  for (int i = 0; i < 10; ++i) {
    add(evidence, "bbbbbbbb", times(1 + 0.002 * noise(i, 32)));
    const GateResult result = gate(evidence, "aaaaaaaa");
    ASSERT_EQ(result.pairs.size(), 1U);
    EXPECT_EQ(result.exit_code, 0) << gate_markdown(result);
  }
}

TEST(Gate, AChangedWeightAndASlowedLoopAreCaught) {
  EvidenceStore evidence;
  for (int i = 0; i < 5; ++i) add(evidence, "aaaaaaaa", times(1 + 0.01 * noise(i, 33)));
  const auto perturbed = add(evidence, "bbbbbbbb", [](std::int64_t i, ExampleRow& row) {
    row.nll += 50 * (0.02 + 0.05 * noise(i, 34));
  });
  const GateResult quality = gate(evidence, "aaaaaaaa");
  EXPECT_EQ(quality.exit_code, 3);
  EXPECT_EQ(quality.pairs.at(0).new_run, perturbed);
  EXPECT_CONTAINS(gate_markdown(quality), "failed: something is worse");
  for (int i = 0; i < 5; ++i) add(evidence, "cccccccc", times(1.08 + 0.01 * noise(i, 35)));
  const GateResult speed = gate(evidence, "aaaaaaaa");
  EXPECT_EQ(speed.exit_code, 3);
  for (const Comparison& one : speed.pairs.at(0).result.comparisons) {
    EXPECT_EQ(one.verdict, one.metric == "tokens_per_second" ? Verdict::kWorse : Verdict::kSame)
        << one.metric;
  }
}

TEST(Gate, LooksMoreRarelyWhileRoundsAreAdded) {
  using Rounds = std::vector<std::int64_t>;
  EXPECT_EQ(rounds_to_look_at(8, 40), (Rounds{8, 12, 18, 27, 40}));
  EXPECT_EQ(rounds_to_look_at(5, 40), (Rounds{8, 12, 18, 27, 40}));
  EXPECT_EQ(rounds_to_look_at(5, 5), (Rounds{5}));
  EXPECT_EQ(rounds_to_look_at(5, 6), (Rounds{6}));
  EXPECT_EQ(rounds_to_look_at(20, 31), (Rounds{20, 30, 31}));
  EXPECT_THROW(rounds_to_look_at(9, 8), ConfigError);
  EXPECT_THROW(rounds_to_look_at(0, 8), ConfigError);
}

TEST(Gate, RunsNextToEachOtherInTimeArePairs) {
  using Pairs = std::vector<std::pair<std::size_t, std::size_t>>;
  const auto pairs = [](std::vector<std::string> a, std::vector<std::string> b) {
    return neighbours_in_time(a, b);
  };
  EXPECT_EQ(pairs({"1", "4", "5"}, {"2", "3", "6"}), (Pairs{{0, 0}, {1, 1}, {2, 2}}));
  EXPECT_EQ(pairs({"1", "2", "3"}, {"4", "5"}), (Pairs{{2, 0}}));
  EXPECT_EQ(pairs({"4", "5"}, {"1", "2", "3", "6"}), (Pairs{{0, 2}, {1, 3}}));
  EXPECT_TRUE(pairs({}, {"1"}).empty());
}

// Both become four times slower while they are measured: pairs do not see it, two samples would.
TEST(Gate, DriftCancelsInPairsOfRunsMeasuredInTurn) {
  EvidenceStore base, fresh;
  std::vector<std::string> base_runs;
  for (int round = 0; round < 8; ++round) {
    const double drift = std::exp2(0.25 * round);
    for (int turn = 0; turn < 2; ++turn) {
      const bool is_base = (round + turn) % 2 == 0;
      const std::string run =
          add(is_base ? base : fresh, is_base ? "aaaaaaaa" : "bbbbbbbb",
              times(drift * (is_base ? 1 : 1.05) * (1 + 0.004 * noise(2 * round + turn, 36))));
      if (is_base)
        base_runs.push_back(run);
      std::this_thread::sleep_for(std::chrono::milliseconds(2));  // ids sort by millisecond
    }
  }
  GateSpec spec;
  spec.baseline = "aaaaaaaa";
  const GateResult worse = run_gate(base.store(), fresh.store(), spec, {});
  EXPECT_EQ(worse.exit_code, 3) << gate_markdown(worse);
  EXPECT_EQ(worse.pairs.at(0).result.comparisons.back().pairing, kPairsOfRuns);
  EXPECT_NEAR(worse.pairs.at(0).result.comparisons.back().difference, 1 / 1.05 - 1, 0.005);
  spec.margins["tokens_per_second"] = {0.08, true};
  EXPECT_EQ(run_gate(base.store(), fresh.store(), spec, {}).exit_code, 0);
  // Of five looks each alone must be surer: eight pairs do not suffice to call it worse.
  spec.margins.clear();
  GateRuns runs;
  runs.looks = 5;
  const GateResult first_look = run_gate(base.store(), fresh.store(), spec, runs);
  EXPECT_EQ(first_look.exit_code, 4);
  EXPECT_TRUE(needs_more_rounds(first_look));
  // Runs from before the gate began do not count.
  runs = {};
  runs.begun_after_base = base_runs.at(3);
  const GateResult fewer = run_gate(base.store(), fresh.store(), spec, runs);
  EXPECT_EQ(fewer.pairs.at(0).result.comparisons.back().pairing, kRepeatedRuns);
}

// In every run another tenth of the documents takes eleven times as long, so the run twice; what a
// change slows down is slow in every run.
TEST(Gate, WhatDisturbsOneRunIsCutAndWhatSlowsSomeDocumentsIsNot) {
  EvidenceStore evidence;
  const auto disturbed = [](int run, std::int64_t slow_documents) {
    return [=](std::int64_t i, ExampleRow& row) {
      row.wall_ns += run * 100;
      if (i % 10 == run % 4)
        row.wall_ns *= 11;
      if (i < slow_documents)
        row.wall_ns *= 5;
    };
  };
  for (int run = 0; run < 5; ++run) add(evidence, "aaaaaaaa", disturbed(run, 0));
  for (int run = 0; run < 5; ++run) add(evidence, "bbbbbbbb", disturbed(run, 0));
  const GateResult same = gate(evidence, "aaaaaaaa");
  EXPECT_EQ(same.exit_code, 0) << gate_markdown(same);
  EXPECT_CONTAINS(gate_markdown(same), "% of times cut to twice their document's median");
  for (int run = 0; run < 5; ++run) add(evidence, "cccccccc", disturbed(run, 3));
  const GateResult slower = gate(evidence, "aaaaaaaa");
  EXPECT_EQ(slower.exit_code, 3) << gate_markdown(slower);
  EXPECT_NEAR(slower.pairs.at(0).result.comparisons.back().difference, 1 / 1.12 - 1, 0.02);
}

TEST(Gate, BetterThanAnyMarginPassesWithoutKnowingByHowMuch) {
  EvidenceStore evidence;
  add(evidence, "aaaaaaaa", as_is);
  add(evidence, "bbbbbbbb",
      [](std::int64_t i, ExampleRow& row) { row.nll -= 50 * (0.0015 + 0.022 * noise(i, 37)); });
  GateSpec spec;
  spec.metrics = {"nll"};
  const GateResult result = gate(evidence, "aaaaaaaa", spec);
  const Comparison& nll = result.pairs.at(0).result.comparisons.at(0);
  EXPECT_LT(nll.inner.value().low, -nll.margin);
  EXPECT_EQ(result.exit_code, 0) << gate_markdown(result);
  EXPECT_CONTAINS(gate_markdown(result), "not worse by more than the margin");
}

TEST(Gate, WithoutAFloorSpeedIsUndecidedNotWorse) {
  EvidenceStore evidence;
  add(evidence, "aaaaaaaa", as_is);
  add(evidence, "bbbbbbbb", times(1.2));
  const GateResult result = gate(evidence, "aaaaaaaa");
  EXPECT_EQ(result.exit_code, 4);
  EXPECT_CONTAINS(gate_markdown(result), "no noise floor");
  GateSpec with_floor;
  with_floor.noise_floor = 0.05;
  EXPECT_EQ(gate(evidence, "aaaaaaaa", with_floor).exit_code, 3);
}

TEST(Gate, NoiseFloorIsTheSpreadOfRepeatedRuns) {
  EvidenceStore evidence;
  std::string last;
  for (const double factor : {1.0, 1.1}) last = add(evidence, "aaaaaaaa", times(factor));
  EXPECT_FALSE(speed_noise_floor(evidence.store(), last).has_value());
  last = add(evidence, "aaaaaaaa", times(0.9));
  const double floor = speed_noise_floor(evidence.store(), last).value_or(0);
  // sd of ln {1, 1.1, 0.9} is 0.1005; t_2(0.975) sqrt(2) = 6.085.
  EXPECT_NEAR(floor, std::expm1(6.085 * 0.1005), 0.005);
}

TEST(Gate, WhatWasNotMeasuredIsNoPass) {
  EvidenceStore evidence;
  EXPECT_TRUE(gate(evidence, "main").pairs.empty());
  EXPECT_EQ(gate(evidence, "main").exit_code, 5);
  const auto base = add(evidence, "aaaaaaaa", as_is);
  evidence.store().set_tag("main", std::vector<std::string>{base});
  const GateResult alone = gate(evidence, "main");
  ASSERT_EQ(alone.pairs.size(), 1U);
  EXPECT_EQ(alone.exit_code, 5);
  EXPECT_CONTAINS(gate_markdown(alone), "did not measure it");
}

// A baseline that is the latest of its place has no successor, however many came before it.
TEST(Gate, RunsFromBeforeTheBaselineAreNotNew) {
  EvidenceStore evidence, other;
  const auto old = add(evidence, "aaaaaaaa", as_is);
  const auto base = add(evidence, "aaaaaaaa", as_is);
  evidence.store().set_tag("main", std::vector<std::string>{base});
  EXPECT_EQ(gate(evidence, "main").exit_code, 5);
  EXPECT_EQ(gate(evidence, "main").pairs.at(0).new_run, "");
  // Nor are the runs of one baseline new to each other.
  evidence.store().set_tag("all", std::vector<std::string>{old, base});
  const GateResult both = gate(evidence, "all");
  EXPECT_EQ(both.exit_code, 5);
  for (const GatePair& pair : both.pairs) EXPECT_EQ(pair.new_run, "") << pair.base_run;
  GateSpec spec;
  spec.baseline = "main";
  spec.metrics = {"nll"};
  // Who names an old run means it; what a gate did not measure itself is no result of it.
  EXPECT_EQ(run_gate(evidence.store(), evidence.store(), spec, {old}).exit_code, 0);
  EXPECT_EQ(run_gate(evidence.store(), evidence.store(), spec, {base}).exit_code, 5);
  EXPECT_TRUE(run_gate(evidence.store(), evidence.store(), spec, {base}).missing.empty());
  const auto fresh = add(other, "bbbbbbbb", as_is);
  GateRuns runs;
  EXPECT_EQ(run_gate(evidence.store(), other.store(), spec, runs).exit_code, 0);
  runs.begun_after_new = fresh;
  EXPECT_EQ(run_gate(evidence.store(), other.store(), spec, runs).exit_code, 5);
  const auto after = add(evidence, "bbbbbbbb", as_is);
  EXPECT_EQ(gate(evidence, "main", spec).pairs.at(0).new_run, after);
  EXPECT_EQ(gate(evidence, "main", spec).exit_code, 0);
}

TEST(Gate, BaselineIsATagACommitOrARun) {
  EvidenceStore evidence;
  const auto one = add(evidence, "0123456789ab", as_is);
  const auto two = add(evidence, "fedcba987654", as_is);
  using Ids = std::vector<std::string>;
  EXPECT_EQ(runs_of_name(evidence.store(), "0123456"), Ids{one});
  EXPECT_EQ(runs_of_name(evidence.store(), "0123456789abcdef0123"), Ids{one});
  EXPECT_EQ(runs_of_name(evidence.store(), two), Ids{two});
  evidence.store().set_tag("v1", Ids{one, two});
  EXPECT_EQ(runs_of_name(evidence.store(), "v1").size(), 2U);
  evidence.store().set_tag("v1", Ids{two});
  EXPECT_EQ(runs_of_name(evidence.store(), "v1"), Ids{two});
  EXPECT_TRUE(runs_of_name(evidence.store(), "0123457").empty());
  EXPECT_THROW(evidence.store().set_tag("", Ids{two}), ConfigError);
  EXPECT_THROW(evidence.store().set_tag("--base", Ids{two}), ConfigError);
}

TEST(Gate, AMetricThatIsAskedForAndThatNoRunHasIsNoPass) {
  EvidenceStore evidence;
  add(evidence, "aaaaaaaa", as_is);
  add(evidence, "bbbbbbbb", as_is);
  GateSpec spec;
  spec.metrics = {"nll"};
  EXPECT_EQ(gate(evidence, "aaaaaaaa", spec).exit_code, 0);
  spec.metrics = {"nll", "mauve"};
  const GateResult result = gate(evidence, "aaaaaaaa", spec);
  EXPECT_EQ(result.exit_code, 5);
  EXPECT_EQ(result.missing, std::vector<std::string>{"mauve"});
  EXPECT_CONTAINS(gate_markdown(result), "`mauve` is asked for, and no pair of runs has it");
}

TEST(Gate, TablesForProgramsSayWhatTheMarkdownSays) {
  EvidenceStore evidence;
  const auto base = add(evidence, "aaaaaaaa", as_is);
  const auto fresh = add(evidence, "bbbbbbbb", [](std::int64_t, ExampleRow& row) { row.nll += 5; });
  const auto alone = evidence.add(sample_header("elsewhere"), 3, as_is);
  evidence.store().set_tag("main", std::vector<std::string>{base, alone});
  GateSpec spec;
  spec.metrics = {"nll", "mauve"};
  const GateResult result = gate(evidence, "main", spec);
  const Json json = parse_json(render(gate_tables(result), "json"), "gate");
  const Json& verdict = json.at("gate").at(0);
  EXPECT_EQ(verdict.at("verdict"), "worse");
  EXPECT_EQ(verdict.at("exit_code"), 3);
  EXPECT_EQ(verdict.at("pairs"), 2);
  EXPECT_TRUE(verdict.at("noise_floor").is_null());
  const Json& rows = json.at("comparison");
  ASSERT_EQ(rows.size(), 3U);
  EXPECT_EQ(rows[0].at("metric"), "nll");
  EXPECT_EQ(rows[0].at("verdict"), "worse");
  EXPECT_EQ(rows[0].at("base_run"), base);
  EXPECT_EQ(rows[0].at("new_run"), fresh);
  EXPECT_NEAR(rows[0].at("difference").get<double>(), 0.1, 1e-9);
  EXPECT_EQ(rows[1].at("base_run"), alone);
  EXPECT_EQ(rows[1].at("verdict"), "empty");
  EXPECT_CONTAINS(rows[1].at("note").get<std::string>(), "did not measure it");
  EXPECT_TRUE(rows[1].at("a").is_null());
  EXPECT_EQ(rows[2].at("metric"), "mauve");
  EXPECT_EQ(rows[2].at("verdict"), "empty");
}

TEST(Gate, VerdictsAreKeptAndReadBack) {
  EvidenceStore evidence;
  add(evidence, "aaaaaaaa", as_is);
  add(evidence, "bbbbbbbb", as_is);
  const GateResult result = gate(evidence, "aaaaaaaa");
  evidence.store().add_verdicts(gate_verdicts(result, BaselineStore::kSame));
  evidence.store().add_verdicts(gate_verdicts(result, BaselineStore::kOther));
  const std::string csv =
      render(evidence.store().query(
                 "SELECT metric, verdict, base_commit, new_commit FROM v_gate WHERE metric='nll' "
                 "ORDER BY gate_id"),
             "csv");
  EXPECT_EQ(
      csv,
      "metric,verdict,base_commit,new_commit\nnll,same,aaaaaaaa,bbbbbbbb\nnll,same,,bbbbbbbb\n");
}

TEST(Gate, FileIsCheckedKeyByKey) {
  const GateSpec spec = parse_gate(
      "baseline = 'main'\nmetrics = ['nll']\nnoise_floor = '2%'\n[margin]\nnll = 0.01\n"
      "tokens_per_second = '5%'\n",
      "gate.toml");
  EXPECT_EQ(spec.baseline, "main");
  EXPECT_DOUBLE_EQ(spec.margins.at("tokens_per_second").value, 0.05);
  EXPECT_TRUE(spec.margins.at("tokens_per_second").relative);
  EXPECT_DOUBLE_EQ(spec.noise_floor.value_or(0), 0.02);
  const auto error = [](const char* toml) {
    return error_of<ConfigError>([&] { parse_gate(toml, "gate.toml"); });
  };
  EXPECT_CONTAINS(error("basline = 'main'"), "did you mean 'baseline'");
  EXPECT_CONTAINS(error("[margin]\nnnl = 1"), "did you mean 'nll'");
  EXPECT_CONTAINS(error("[margin]\nnll = -1"), "above 0");
  EXPECT_CONTAINS(error("baseline = "), "line 1");
  EXPECT_CONTAINS(error("metrics = [1]"), "names of metrics");
  EXPECT_CONTAINS(error("max_rounds = 'many'"), "max_rounds");
}

// 200 unchanged builds with measured noise in every metric: at most 5 % may be stopped.
TEST(GateSlow, UnchangedNoisyBuildsAreStoppedInAtMostFivePercent) {
  int worse = 0;
  constexpr int kBuilds = 200;
  EvidenceStore evidence;
  const auto noisy = [](std::uint64_t stream) {
    return [stream](std::int64_t i, ExampleRow& row) {
      row.nll += 50 * 0.02 * noise(i, stream);
      row.score = noise(i, stream + 5000) > 0 ? 1 : 0;
      row.wall_ns += static_cast<std::int64_t>(20000 * noise(i, stream + 10000));
    };
  };
  GateSpec spec;
  spec.noise_floor = 0.02;
  for (std::uint64_t i = 1; i <= kBuilds; ++i) {
    // A baseline of its own for every build: fresh noise on both sides.
    const auto old_run = evidence.add(build("aaaaaaaa"), 60, noisy(2 * i + 100), Restart::kFresh);
    const auto new_run = evidence.add(build("bbbbbbbb"), 60, noisy(2 * i + 101), Restart::kFresh);
    spec.baseline = old_run;
    worse += run_gate(evidence.store(), evidence.store(), spec, {new_run}).exit_code == 3 ? 1 : 0;
  }
  EXPECT_LE(worse, kBuilds / 20);
}

}  // namespace
}  // namespace dlm
