#include "metrics/mauve.h"

#include <cmath>
#include <limits>
#include <map>
#include <string>

#include <ATen/ops/empty.h>
#include <ATen/ops/zeros.h>

#include <gtest/gtest.h>

#include "harness/base/error.h"
#include "harness/base/random.h"
#include "metrics/pca.h"
#include "models/checkpoint/weights.h"
#include "models/runtime.h"
#include "tests/support/data.h"
#include "tests/support/tensors.h"

namespace dlm {
namespace {

using testing::data_path;

at::Tensor normal_rows(std::int64_t rows, std::int64_t dims, std::uint64_t seed, double shift) {
  const RandomStream stream(seed, Purpose::kTest, 0);
  at::Tensor out = at::empty({rows, dims}, at::kFloat);
  for (std::int64_t i = 0; i < rows * dims; ++i) {
    out.mutable_data_ptr<float>()[i] =
        static_cast<float>(stream.normal(0, static_cast<std::uint64_t>(i)) + shift);
  }
  return out;
}

TEST(Mauve, TheScoreFallsAsTheSetsMoveApart) {
  const at::Tensor p = normal_rows(400, 12, 1, 0);
  double last = 1;
  for (const double shift : {0.0, 0.4, 1.2}) {
    const MauveResult result = mauve({p, normal_rows(300, 12, 2, shift)}, {});
    EXPECT_EQ(result.buckets, 30);
    EXPECT_EQ(result.runs.size(), 5U);
    EXPECT_LT(result.mean.mauve, last);
    last = result.mean.mauve;
  }
  EXPECT_LT(last, 0.2);
}

TEST(Mauve, AutomaticBucketsRoundHalvesToEven) {
  const at::Tensor p = normal_rows(90, 3, 1, 0);
  const std::map<std::int64_t, std::int64_t> expected{{4, 2}, {25, 2}, {35, 4}, {36, 4}, {44, 4}};
  for (const auto& [rows, buckets] : expected) {
    EXPECT_EQ(mauve({p, normal_rows(rows, 3, 2, 0)}, {.seeds = 1}).buckets, buckets) << rows;
  }
}

TEST(Mauve, TheSameSetTwiceScoresOne) {
  const at::Tensor p = normal_rows(200, 5, 3, 0);
  const MauveResult result = mauve({p, p}, {});
  EXPECT_EQ(result.mean.mauve, 1);
  EXPECT_EQ(result.mean.frontier_integral, 0);
  EXPECT_EQ(result.deviation.mauve, 0);
}

TEST(Mauve, IsTheSameAtAnyNumberOfThreads) {
  const at::Tensor p = normal_rows(300, 20, 1, 0), q = normal_rows(280, 20, 2, 0.2);
  set_threads(1);
  const MauveResult one = mauve({p, q}, {.seeds = 2});
  set_threads(2);
  const MauveResult two = mauve({p, q}, {.seeds = 2});
  set_threads(0);
  EXPECT_EQ(one.runs[1].p_counts, two.runs[1].p_counts);
  EXPECT_EQ(one.mean.mauve, two.mean.mauve);
}

TEST(Mauve, TheCeilingComparesTwoPartsOfTheReference) {
  const at::Tensor p = normal_rows(600, 8, 1, 0), q = normal_rows(200, 8, 2, 2);
  const MauveResult ceiling = mauve_ceiling({p, q}, {});
  EXPECT_EQ(ceiling.n_q, 200);
  EXPECT_EQ(ceiling.n_p, 400);
  EXPECT_GT(ceiling.mean.mauve, 0.9);
  EXPECT_LT(mauve({p, q}, {}).mean.mauve, 0.1);
  EXPECT_EQ(mauve_ceiling({p, normal_rows(900, 8, 2, 0)}, {.seeds = 1}).n_q, 300);
}

TEST(Mauve, StandardErrorIsThatOfTheCounts) {
  // Two bins: the frontier integral is a smooth function of two binomial shares.
  MauveRun run;
  run.p_counts = {700, 300};
  run.q_counts = {400, 600};
  const MauveScores error = mauve_standard_error(run, {}, 2000);
  const auto integral = [](double a, double b) {
    return frontier_integral(std::vector<double>{a, 1 - a}, std::vector<double>{b, 1 - b});
  };
  const double h = 1e-4;
  const double by_p = (integral(.7 + h, .4) - integral(.7 - h, .4)) / (2 * h);
  const double by_q = (integral(.7, .4 + h) - integral(.7, .4 - h)) / (2 * h);
  const double expected = std::sqrt(by_p * by_p * .7 * .3 / 1000 + by_q * by_q * .4 * .6 / 1000);
  EXPECT_NEAR(error.frontier_integral, expected, 0.08 * expected);
}

TEST(Mauve, RefusesWhatCanNotBeCompared) {
  const at::Tensor p = normal_rows(30, 4, 1, 0), q = normal_rows(30, 4, 2, 0);
  EXPECT_THROW(mauve({p, normal_rows(30, 5, 2, 0)}, {}), ConfigError);
  EXPECT_THROW(mauve({p, q.narrow(0, 0, 0)}, {}), ConfigError);
  EXPECT_THROW(mauve({p, q}, {.buckets = 61}), ConfigError);
  EXPECT_THROW(mauve({p, q}, {.buckets = 1}), ConfigError);
  EXPECT_THROW(mauve({p, q}, {.seeds = 0}), ConfigError);
  EXPECT_THROW(mauve({p, q}, {.explained_variance = 0}), ConfigError);
  EXPECT_THROW(mauve({p, q.to(at::kLong)}, {}), ConfigError);
  EXPECT_THROW(mauve_ceiling({p.narrow(0, 0, 1), q}, {}), ConfigError);
  at::Tensor bad = q.clone();
  bad.mutable_data_ptr<float>()[4 * 7] = std::numeric_limits<float>::quiet_NaN();
  try {
    mauve({p, bad, "human.safetensors", "machine.safetensors"}, {});
    FAIL() << "NaN was accepted";
  } catch (const DataError& error) {
    EXPECT_NE(std::string(error.what()).find("machine.safetensors"), std::string::npos);
    EXPECT_NE(std::string(error.what()).find("row 7"), std::string::npos);
  }
}

TEST(Mauve, OneTextASideStillHasAScore) {
  const MauveResult result = mauve({normal_rows(1, 4, 1, 0), normal_rows(1, 4, 2, 0)}, {});
  EXPECT_EQ(result.buckets, 2);
  EXPECT_GT(result.mean.mauve, 0);
}

std::map<std::string, at::Tensor> fixture() {
  std::map<std::string, at::Tensor> tensors;
  for (const TensorView& view : open_safetensors(data_path("fixtures/mauve/expected.safetensors")))
    tensors.emplace(view.name, as_tensor(view));
  return tensors;
}

std::vector<std::int64_t> integers(const at::Tensor& tensor) {
  const auto* data = tensor.const_data_ptr<std::int64_t>();
  return {data, data + tensor.numel()};
}

std::vector<double> doubles(const at::Tensor& tensor) {
  const auto* data = tensor.const_data_ptr<double>();
  return {data, data + tensor.numel()};
}

TEST(MauveGolden, ScoresOfGivenHistogramsAgree) {
  DLM_REQUIRE_DATA("fixtures/mauve");
  const auto tensors = fixture();
  for (int i = 0; i < 10; ++i) {
    const std::string name = "hist" + std::to_string(i) + ".";
    const MauveScores actual = mauve_scores(integers(tensors.at(name + "p_counts")),
                                            integers(tensors.at(name + "q_counts")));
    const auto expected = doubles(tensors.at(name + "scores"));
    EXPECT_NEAR(actual.mauve, expected[0], 1e-10) << name;
    EXPECT_NEAR(actual.frontier_integral, expected[1], 1e-10) << name;
    EXPECT_NEAR(actual.mauve_star, expected[2], 1e-10) << name;
    EXPECT_NEAR(actual.frontier_integral_star, expected[3], 1e-10) << name;
  }
}

TEST(MauveGolden, CurvesOfGivenHistogramsAgree) {
  DLM_REQUIRE_DATA("fixtures/mauve");
  const auto tensors = fixture();
  const auto expected = doubles(tensors.at("pair0.auto.curve"));
  const auto p = doubles(tensors.at("pair0.auto.p_hist")),
             q = doubles(tensors.at("pair0.auto.q_hist"));
  const std::size_t bins = p.size() / 5;
  for (std::size_t seed = 0; seed < 5; ++seed) {
    const auto curve = divergence_curve(std::span(p).subspan(seed * bins, bins),
                                        std::span(q).subspan(seed * bins, bins));
    ASSERT_EQ(curve.size(), 27U);
    for (std::size_t i = 0; i < 27; ++i) {
      EXPECT_NEAR(curve[i].x, expected[(seed * 27 + i) * 2], 1e-10);
      EXPECT_NEAR(curve[i].y, expected[(seed * 27 + i) * 2 + 1], 1e-10);
    }
  }
}

TEST(MauveGolden, PrincipalComponentsAgree) {
  DLM_REQUIRE_DATA("fixtures/mauve");
  const auto tensors = fixture();
  for (int i = 0; i < 3; ++i) {
    const std::string name = "pair" + std::to_string(i) + ".";
    const at::Tensor p = tensors.at(name + "p_features"), q = tensors.at(name + "q_features");
    at::Tensor rows = at::zeros({q.size(0) + p.size(0), p.size(1)}, at::kFloat);
    rows.narrow(0, 0, q.size(0)).copy_(q);
    rows.narrow(0, q.size(0), p.size(0)).copy_(p);
    rows = rows.div(rows.pow(2).sum(1, true).sqrt());
    const Pca pca = principal_components(rows, 0.9);
    EXPECT_EQ(pca.projected.size(1), tensors.at(name + "pca_dims").item().toLong());
    const auto ratios = doubles(tensors.at(name + "explained_variance_ratio"));
    for (std::size_t c = 0; c < pca.variance_ratio.size(); ++c)
      EXPECT_NEAR(pca.variance_ratio[c], ratios[c], 1e-6) << name << c;
    const at::Tensor norms = std::get<0>(pca.projected.pow(2).sum(1).sqrt().sort());
    testing::expect_close(norms, tensors.at(name + "projected_norms"), 1e-5, name);
  }
}

void expect_within(const MauveResult& result, const at::Tensor& mean, const at::Tensor& deviation) {
  const auto expected = doubles(mean), spread = doubles(deviation);
  EXPECT_NEAR(result.mean.mauve, expected[0], 3 * spread[0]);
  EXPECT_NEAR(result.mean.frontier_integral, expected[1], 3 * spread[1]);
  EXPECT_NEAR(result.mean.mauve_star, expected[2], 3 * spread[2]);
  EXPECT_NEAR(result.mean.frontier_integral_star, expected[3], 3 * spread[3]);
}

TEST(MauveGolden, ScoresOfFeaturesAgreeWithinTheSpreadOfSeeds) {
  DLM_REQUIRE_DATA("fixtures/mauve");
  const auto tensors = fixture();
  const std::map<std::string, std::int64_t> pairs{{"pair0.auto", 0},
                                                  {"pair0.k20", 20},
                                                  {"pair1.auto", 0},
                                                  {"pair1.k20", 20},
                                                  {"pair2.auto", 0}};
  for (const auto& [name, buckets] : pairs) {
    const std::string pair = name.substr(0, name.find('.'));
    const MauveResult result = mauve(
        {tensors.at(pair + ".p_features"), tensors.at(pair + ".q_features")}, {.buckets = buckets});
    EXPECT_EQ(result.components, tensors.at(pair + ".pca_dims").item().toLong());
    SCOPED_TRACE(name);
    expect_within(result, tensors.at(name + ".mean"), tensors.at(name + ".std"));
    double objective = 0, published = 0;
    for (const MauveRun& run : result.runs) objective += run.objective / 5;
    for (const double value : doubles(tensors.at(name + ".kmeans_objective")))
      published += value / 5;
    EXPECT_NEAR(objective, published, 0.02 * published);
  }
}

}  // namespace
}  // namespace dlm
