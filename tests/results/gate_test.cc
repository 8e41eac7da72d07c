#include "results/gate.h"

#include <gtest/gtest.h>

#include "harness/base/error.h"
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
  return run_gate(evidence.store(), evidence.store(), spec, "");
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
    worse += run_gate(evidence.store(), evidence.store(), spec, new_run).exit_code == 3 ? 1 : 0;
  }
  EXPECT_LE(worse, kBuilds / 20);
}

}  // namespace
}  // namespace dlm
