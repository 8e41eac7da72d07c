#include "metrics/kmeans.h"

#include <cmath>
#include <limits>
#include <set>

#include <ATen/ops/empty.h>

#include <gtest/gtest.h>

#include "harness/base/error.h"
#include "harness/base/random.h"
#include "models/runtime.h"

namespace dlm {
namespace {

at::Tensor points_of(const std::vector<std::vector<float>>& rows) {
  at::Tensor out = at::empty({std::ssize(rows), std::ssize(rows.front())}, at::kFloat);
  float* to = out.mutable_data_ptr<float>();
  for (const auto& row : rows) to = std::copy(row.begin(), row.end(), to);
  return out;
}

// Normal rows around `centres` points, so that Lloyd takes many iterations.
at::Tensor clouds(std::int64_t rows, std::int64_t dims, std::uint64_t centres, std::uint64_t seed) {
  const RandomStream stream(seed, Purpose::kTest, 0);
  at::Tensor out = at::empty({rows, dims}, at::kFloat);
  float* to = out.mutable_data_ptr<float>();
  for (std::int64_t i = 0; i < rows; ++i) {
    const std::uint64_t row = static_cast<std::uint64_t>(i);
    const std::uint64_t centre = stream.below(centres, 1, row);
    for (std::int64_t d = 0; d < dims; ++d) {
      const auto at = static_cast<std::uint64_t>(d);
      *to++ = static_cast<float>(2 * stream.normal(2 + centre, at) + stream.normal(1000 + row, at));
    }
  }
  return out;
}

double squared_distance(const at::Tensor& points, std::int64_t row, const at::Tensor& centroids,
                        std::int64_t cluster) {
  double sum = 0;
  const std::int64_t dims = points.size(1);
  for (std::int64_t d = 0; d < dims; ++d) {
    const double difference =
        static_cast<double>(points.const_data_ptr<float>()[row * dims + d]) -
        static_cast<double>(centroids.const_data_ptr<float>()[cluster * dims + d]);
    sum += difference * difference;
  }
  return sum;
}

// Lloyd's algorithm as a book has it: every distance, in f64, in every iteration.
struct Plain {
  std::vector<std::int64_t> labels;
  double objective = std::numeric_limits<double>::infinity();
};

std::int64_t nearest(const at::Tensor& points, std::int64_t row, const at::Tensor& centroids) {
  std::int64_t best = 0;
  for (std::int64_t j = 1; j < centroids.size(0); ++j) {
    if (squared_distance(points, row, centroids, j) <
        squared_distance(points, row, centroids, best))
      best = j;
  }
  return best;
}

void to_means(const at::Tensor& points, const std::vector<std::int64_t>& labels,
              at::Tensor& centroids) {
  const std::int64_t dims = points.size(1);
  for (std::int64_t j = 0; j < centroids.size(0); ++j) {
    std::vector<double> sum(static_cast<std::size_t>(dims));
    std::int64_t count = 0;
    for (std::int64_t i = 0; i < points.size(0); ++i) {
      if (labels[static_cast<std::size_t>(i)] != j)
        continue;
      ++count;
      for (std::int64_t d = 0; d < dims; ++d)
        sum[static_cast<std::size_t>(d)] += points.const_data_ptr<float>()[i * dims + d];
    }
    for (std::int64_t d = 0; count > 0 && d < dims; ++d) {
      centroids.mutable_data_ptr<float>()[j * dims + d] =
          static_cast<float>(sum[static_cast<std::size_t>(d)] / static_cast<double>(count));
    }
  }
}

Plain plain_restart(const at::Tensor& points, std::int64_t clusters, const RandomStream& stream) {
  const std::int64_t rows = points.size(0), dims = points.size(1);
  std::vector<std::int64_t> order(static_cast<std::size_t>(rows));
  for (std::int64_t i = 0; i < rows; ++i) order[static_cast<std::size_t>(i)] = i;
  at::Tensor centroids = at::empty({clusters, dims}, at::kFloat);
  for (std::int64_t j = 0; j < clusters; ++j) {
    const auto pick =
        j + static_cast<std::int64_t>(stream.below(static_cast<std::uint64_t>(rows - j), 0,
                                                   static_cast<std::uint64_t>(j)));
    std::swap(order[static_cast<std::size_t>(j)], order[static_cast<std::size_t>(pick)]);
    std::copy_n(points.const_data_ptr<float>() + order[static_cast<std::size_t>(j)] * dims, dims,
                centroids.mutable_data_ptr<float>() + j * dims);
  }
  Plain run;
  for (bool changed = true; changed;) {
    std::vector<std::int64_t> labels;
    for (std::int64_t i = 0; i < rows; ++i) labels.push_back(nearest(points, i, centroids));
    changed = labels != run.labels;
    run.labels = labels;
    if (changed)
      to_means(points, labels, centroids);
  }
  run.objective = 0;
  for (std::int64_t i = 0; i < rows; ++i)
    run.objective +=
        squared_distance(points, i, centroids, run.labels[static_cast<std::size_t>(i)]);
  return run;
}

TEST(Kmeans, EqualsPlainLloydInEveryLabel) {
  for (const auto& [dims, clusters] : {std::pair{2, 7}, {16, 20}, {60, 40}, {300, 130}}) {
    const at::Tensor points = clouds(dims < 100 ? 600 : 300, dims, 12, 5);
    Plain best;
    for (std::uint64_t restart = 0; restart < 3; ++restart) {
      const Plain run =
          plain_restart(points, clusters, RandomStream(9, Purpose::kKmeansStart, 0, restart));
      if (run.objective < best.objective)
        best = run;
    }
    const Kmeans result = kmeans(points, {.clusters = clusters, .restarts = 3, .seed = 9});
    EXPECT_EQ(result.labels, best.labels);
    EXPECT_NEAR(result.objective, best.objective, 1e-9 * best.objective);
    EXPECT_GE(result.iterations, dims < 100 ? 4 : 2);
  }
}

TEST(Kmeans, IsTheSameAtAnyNumberOfThreads) {
  const at::Tensor points = clouds(1500, 70, 12, 6);
  set_threads(1);
  const Kmeans one = kmeans(points, {.clusters = 50});
  set_threads(2);
  const Kmeans two = kmeans(points, {.clusters = 50});
  set_threads(0);
  EXPECT_EQ(one.labels, two.labels);
  EXPECT_EQ(one.objective, two.objective);
}

TEST(Kmeans, AsManyClustersAsRowsLeaveNoDistance) {
  const at::Tensor points = points_of({{0, 0}, {1, 0}, {0, 1}, {5, 5}});
  const Kmeans result = kmeans(points, {.clusters = 4});
  EXPECT_EQ(result.objective, 0);
  EXPECT_EQ(std::set<std::int64_t>(result.labels.begin(), result.labels.end()).size(), 4U);
}

TEST(Kmeans, AnEmptyClusterTakesTheFarthestRow) {
  // Whatever the start, equal rows share a centroid; the cluster left over must find another one.
  std::vector<std::vector<float>> rows(40, {1, 1});
  rows.push_back({3, 1});
  rows.push_back({1, 9});
  const Kmeans result = kmeans(points_of(rows), {.clusters = 3, .restarts = 1});
  EXPECT_EQ(result.objective, 0);
  EXPECT_NE(result.labels[40], result.labels[0]);
  EXPECT_NE(result.labels[41], result.labels[40]);
}

TEST(Kmeans, FewerDistinctRowsThanClustersLeaveSomeEmpty) {
  const Kmeans result = kmeans(points_of({{2, 2}, {2, 2}, {2, 2}, {4, 4}}), {.clusters = 3});
  EXPECT_EQ(result.objective, 0);
  EXPECT_EQ(std::set<std::int64_t>(result.labels.begin(), result.labels.end()).size(), 2U);
}

TEST(Kmeans, TiesGoToTheLowestIndex) {
  // The start permutes the rows; the centroids come from distinct ones, so 0 is as far from both.
  const Kmeans result = kmeans(points_of({{-1}, {1}, {0}}), {.clusters = 3, .restarts = 1});
  EXPECT_EQ(result.objective, 0);
  const Kmeans tie = kmeans(points_of({{-1}, {-1}, {0}, {1}, {1}}), {.clusters = 2, .restarts = 9});
  EXPECT_NEAR(tie.objective, 2.0 / 3.0, 1e-6);
}

TEST(Kmeans, RefusesOptionsOutOfRange) {
  const at::Tensor points = points_of({{0}, {1}});
  EXPECT_THROW(kmeans(points, {.clusters = 3}), ConfigError);
  EXPECT_THROW(kmeans(points, {.clusters = 0}), ConfigError);
  EXPECT_THROW(kmeans(points, {.clusters = 1, .restarts = 0}), ConfigError);
  EXPECT_THROW(kmeans(points, {.clusters = 1, .max_iterations = 0}), ConfigError);
  EXPECT_THROW(kmeans(points.to(at::kDouble), {.clusters = 1}), ConfigError);
  const at::Tensor nan = points_of({{0}, {std::numeric_limits<float>::quiet_NaN()}});
  EXPECT_THROW(kmeans(nan, {.clusters = 1}), InternalError);
}

}  // namespace
}  // namespace dlm
