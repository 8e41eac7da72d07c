#include "metrics/pca.h"

#include <cmath>

#include <ATen/ops/arange.h>
#include <ATen/ops/eye.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/zeros.h>

#include <gtest/gtest.h>

#include "harness/base/error.h"
#include "models/runtime.h"
#include "tests/support/tensors.h"

namespace dlm {
namespace {

using testing::expect_close;

// (rows, dims) with falling scales of the columns, from a fixed generator-free formula.
at::Tensor waves(std::int64_t rows, std::int64_t dims) {
  at::Tensor x = at::arange(rows * dims, at::kDouble).mul(0.7).add(0.3).sin().mul(97.0);
  x = x.sub(x.floor()).view({rows, dims}).sub(0.5);
  return x.mul(at::arange(1, dims + 1, at::kDouble).pow(-0.8)).to(at::kFloat);
}

at::Tensor distances(const at::Tensor& rows) {
  return rows.to(at::kDouble).unsqueeze(0).sub(rows.to(at::kDouble).unsqueeze(1)).pow(2).sum(-1);
}

TEST(Pca, RatiosOfAxisAlignedDataAreItsVariances) {
  // Columns with variances 4 : 1 : 0 and no correlation.
  at::Tensor points = at::zeros({4, 3}, at::kFloat);
  const float values[4][2] = {{2, 1}, {-2, 1}, {2, -1}, {-2, -1}};
  for (std::int64_t row = 0; row < 4; ++row) {
    for (std::int64_t column = 0; column < 2; ++column)
      points.mutable_data_ptr<float>()[row * 3 + column] = values[row][column];
  }
  const Pca two = principal_components(points, 0.9);
  ASSERT_EQ(two.variance_ratio.size(), 2U);
  EXPECT_NEAR(two.variance_ratio[0], 0.8, 1e-6);
  EXPECT_NEAR(two.variance_ratio[1], 0.2, 1e-6);
  const Pca one = principal_components(points, 0.79);
  ASSERT_EQ(one.variance_ratio.size(), 1U);
  expect_close(one.projected.abs(), at::zeros({4, 1}).add(2), 1e-6);
}

TEST(Pca, AllComponentsKeepEveryDistance) {
  for (const auto& [rows, dims] : {std::pair{50, 8}, {20, 60}, {300, 290}}) {
    const at::Tensor points = waves(rows, dims);
    const Pca pca = principal_components(points, 1.0);
    EXPECT_LE(pca.projected.size(1), std::min(rows, dims));
    expect_close(distances(pca.projected), distances(points), 1e-5);
  }
}

TEST(Pca, WideAndTallMatricesGiveTheSameProjection) {
  // Zero columns turn a tall matrix into a wide one without changing its law.
  const at::Tensor tall = waves(40, 30);
  at::Tensor wide = at::zeros({40, 90}, at::kFloat);
  wide.narrow(1, 0, 30).copy_(tall);
  const Pca a = principal_components(tall, 0.9), b = principal_components(wide, 0.9);
  ASSERT_EQ(a.projected.size(1), b.projected.size(1));
  EXPECT_LT(a.projected.size(1), 30);
  expect_close(distances(a.projected), distances(b.projected), 1e-5);
}

TEST(Pca, IsTheSameAtAnyNumberOfThreads) {
  const at::Tensor points = waves(700, 300);
  set_threads(1);
  const Pca one = principal_components(points, 0.9);
  set_threads(2);
  const Pca two = principal_components(points, 0.9);
  set_threads(0);
  EXPECT_EQ(one.variance_ratio, two.variance_ratio);
  EXPECT_TRUE(one.projected.equal(two.projected));
}

TEST(Pca, EqualRowsGiveOneComponentOfZeros) {
  const Pca pca = principal_components(at::zeros({5, 3}, at::kFloat).add(0.25), 0.9);
  EXPECT_EQ(pca.variance_ratio, std::vector<double>{0});
  expect_close(pca.projected, at::zeros({5, 1}), 0);
}

TEST(Pca, RefusesSharesAndShapesOutOfRange) {
  const at::Tensor points = waves(5, 3);
  EXPECT_THROW(principal_components(points, 0), ConfigError);
  EXPECT_THROW(principal_components(points, 1.1), ConfigError);
  EXPECT_THROW(principal_components(points.narrow(0, 0, 1), 0.9), ConfigError);
}

}  // namespace
}  // namespace dlm
