#include "results/metric_value.h"

#include <gtest/gtest.h>

#include "harness/base/error.h"
#include "harness/base/file.h"
#include "results/plot_data.h"
#include "results/repro.h"
#include "tests/results/evidence_store.h"
#include "tests/results/expect_error.h"

namespace dlm {
namespace {

using testing::error_of;
using testing::EvidenceStore;

struct Variant {
  const char* name;
  double value;
};

void add_variants(EvidenceStore& evidence, const std::string& run, const std::string& metric,
                  const std::vector<Variant>& variants) {
  const std::vector<MetricDefinition> definitions = {{metric, "1", "hi", "mean", ""}};
  std::vector<Estimate> estimates;
  for (const auto& [name, value] : variants)
    estimates.push_back({metric, name, value, 0.03, 0.04, value - 0.1, value + 0.1, "t", 10, 10});
  evidence.store().add_estimates(run, estimates, definitions);
}

const std::vector<Variant> kAnswers = {
    {"boxed, by number", 0.25}, {"flexible", 1}, {"strict", 0.5}};

// A run whose identity is `identity`, with accuracies by three extractors.
std::string answered(EvidenceStore& evidence, const std::string& identity) {
  RunHeader header = testing::sample_header(identity);
  header.identity_json = identity;
  header.run_key = sha256_hex(identity);
  const auto run = evidence.add(header, 3, [](std::int64_t, ExampleRow&) {});
  add_variants(evidence, run, "accuracy", kAnswers);
  return run;
}

constexpr const char* kFlexible = R"({"verdicts":{"extractor":"flexible"}})";

TEST(MetricValue, TheExtractorOfTheRunDecides) {
  EvidenceStore evidence;
  Store& store = evidence.store();
  const auto run = answered(evidence, kFlexible);
  EXPECT_EQ(metric_value(store, run, "accuracy")->value, 1);
  EXPECT_EQ(metric_value(store, run, "accuracy")->variant, "flexible");
  EXPECT_DOUBLE_EQ(metric_value(store, run, "accuracy")->error, 0.05);
  EXPECT_EQ(metric_value(store, run, "accuracy:strict")->value, 0.5);
  EXPECT_EQ(metric_value(store, run, "accuracy:boxed")->value, 0.25);
  EXPECT_EQ(metric_value(store, run, "accuracy:boxed, by number")->value, 0.25);
  EXPECT_FALSE(metric_value(store, run, "accuracy:nosuch"));
  EXPECT_FALSE(metric_value(store, run, "mauve"));
  const auto scored = answered(evidence, R"({"settings":{"extractor":"strict"}})");
  EXPECT_EQ(metric_value(store, scored, "accuracy")->value, 0.5);
}

TEST(MetricValue, WhatCouldBeSeveralIsRefusedWithThem) {
  EvidenceStore evidence;
  Store& store = evidence.store();
  const auto run = answered(evidence, R"({"settings":{"draws":2}})");
  const std::string message =
      error_of<ConfigError>([&] { (void)metric_value(store, run, "accuracy"); });
  EXPECT_CONTAINS(message, "accuracy:boxed, by number; accuracy:flexible; accuracy:strict");
  EXPECT_EQ(metric_names_of(store, run),
            (std::vector<std::string>{"accuracy:boxed, by number", "accuracy:flexible",
                                      "accuracy:strict"}));
  add_variants(evidence, run, "pass_at_k", {{"k=1", 0.4}, {"k=1, sanitised", 0.6}, {"k=10", 0.8}});
  EXPECT_EQ(metric_value(store, run, "pass_at_k")->value, 0.4);
  EXPECT_EQ(metric_value(store, run, "pass_at_k:k=1, sanitised")->value, 0.6);
  add_variants(evidence, run, "generative_perplexity", {{"pooled", 30}, {"sample mean", 32}});
  EXPECT_EQ(metric_value(store, run, "generative_perplexity")->value, 30);
  add_variants(evidence, run, "mauve", {{"", 0.9}, {"ceiling", 0.97}});
  EXPECT_EQ(metric_value(store, run, "mauve")->value, 0.9);
  add_variants(evidence, run, "repetition", {{"4-gram", 0.1}});
  EXPECT_EQ(metric_value(store, run, "repetition")->value, 0.1);
}

// Boxed is the first by name, and drew 0.25 as the accuracy of the run.
TEST(MetricValue, PlotsAndPapersShowIt) {
  EvidenceStore evidence;
  const std::vector<std::string> runs = {answered(evidence, kFlexible)};
  const auto drawn = [&](const char* kind, const char* metric, const char* x) {
    return make_plot(evidence.store(), runs, {kind, metric, x});
  };
  const Plot by = drawn("by", "accuracy", "sampler.name");
  EXPECT_EQ(by.series.at(0).points.at(0).y, 1);
  EXPECT_EQ(by.y_label, "accuracy (flexible)");
  EXPECT_EQ(drawn("history", "accuracy", "").series.at(0).points.at(0).y, 1);
  EXPECT_EQ(drawn("frontier", "", "").series.at(0).points.at(0).y, 1);
  EXPECT_EQ(drawn("by", "accuracy:strict", "sampler.name").series.at(0).points.at(0).y, 0.5);
  EXPECT_CONTAINS(error_of<ConfigError>([&] { drawn("history", "accuracy:no", ""); }),
                  "accuracy:strict");
  const auto judged = [&](const std::string& metric) {
    const std::string toml =
        "[[table]]\nid = \"1\"\nrun = \"dlmbench run --model tiny --task corpus --seed 7 --sampler "
        "ancestral\"\nmetric = \"" +
        metric +
        "\"\ntolerance = { class = \"exact\", scale = 100 }\nneeds = [\"weights\"]\n"
        "columns = [\"c\"]\n[table.rows]\n\"r\" = [\"50.0\"]\n[table.models]\n\"r\" = \"tiny\"\n"
        "[table.tasks]\n\"c\" = \"corpus\"\n";
    return reproduce(evidence.store(), parse_paper(toml, "p.toml"), "").at(0).ours;
  };
  EXPECT_EQ(judged("accuracy"), 100);
  EXPECT_EQ(judged("accuracy:strict"), 50);
}

}  // namespace
}  // namespace dlm
