#include "metrics/kmeans.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <utility>

#include <ATen/ops/empty.h>
#include <ATen/ops/isfinite.h>

#include "harness/base/error.h"
#include "harness/base/random.h"
#include "metrics/nearest.h"
#include "metrics/tiles.h"
#include "models/transformer/inference_scope.h"

namespace dlm {
namespace {

using Indices = std::vector<std::int64_t>;

constexpr std::int64_t kTile = 256;  // rows or clusters of one piece of work

Indices iota(std::int64_t count) {
  Indices indices(static_cast<std::size_t>(count));
  std::iota(indices.begin(), indices.end(), 0);
  return indices;
}

// One restart.
class Lloyd {
 public:
  Lloyd(const at::Tensor& points, const NearestSearch& search, std::int64_t clusters);

  void start(const RandomStream& stream);
  // Moves the centroids and assigns anew; false where no label changed.
  bool step();

  double objective() const;
  Indices labels() const;

  at::Tensor centroids() const { return centroids_; }

 private:
  Indices changed_clusters() const;
  void move_centroids(const Indices& clusters);
  void fill_empty(std::vector<Indices>& members, Indices& clusters);
  void assign();

  const float* row(std::int64_t i) const { return data_ + i * dims_; }

  float* centroid(std::int64_t j) { return centroids_.mutable_data_ptr<float>() + j * dims_; }

  Nearest& at(std::int64_t i) { return nearest_[static_cast<std::size_t>(i)]; }

  const NearestSearch& search_;
  const float* data_;
  std::int64_t rows_, dims_, clusters_;
  at::Tensor centroids_;
  std::vector<Nearest> nearest_;
  Indices counted_;            // labels that the centroids are means of; -1 at the start
  std::vector<double> moved_;  // distance each centroid went in the last step
};

Lloyd::Lloyd(const at::Tensor& points, const NearestSearch& search, std::int64_t clusters)
    : search_(search),
      data_(points.const_data_ptr<float>()),
      rows_(points.size(0)),
      dims_(points.size(1)),
      clusters_(clusters),
      centroids_(at::empty({clusters, points.size(1)}, at::kFloat)) {}

void Lloyd::start(const RandomStream& stream) {
  Indices order = iota(rows_);
  for (std::int64_t j = 0; j < clusters_; ++j) {
    const auto rest = static_cast<std::uint64_t>(rows_ - j);
    const auto pick =
        j + static_cast<std::int64_t>(stream.below(rest, 0, static_cast<std::uint64_t>(j)));
    std::swap(order[static_cast<std::size_t>(j)], order[static_cast<std::size_t>(pick)]);
    std::copy_n(row(order[static_cast<std::size_t>(j)]), dims_, centroid(j));
  }
  nearest_.assign(static_cast<std::size_t>(rows_), {});
  counted_.assign(static_cast<std::size_t>(rows_), -1);
  search_.update(iota(rows_), centroids_, iota(clusters_), nearest_);
}

// Clusters that won or lost a row since their centroids were means.
Indices Lloyd::changed_clusters() const {
  std::vector<char> changed(static_cast<std::size_t>(clusters_), 0);
  for (std::size_t i = 0; i < nearest_.size(); ++i) {
    if (nearest_[i].label == counted_[i])
      continue;
    changed[static_cast<std::size_t>(nearest_[i].label)] = 1;
    if (counted_[i] >= 0)
      changed[static_cast<std::size_t>(counted_[i])] = 1;
  }
  Indices clusters;
  for (std::int64_t j = 0; j < clusters_; ++j) {
    if (changed[static_cast<std::size_t>(j)] != 0)
      clusters.push_back(j);
  }
  return clusters;
}

// Gives every cluster without members the row farthest from its centroid among those that are not
// alone, and adds the clusters this changes to `clusters`. Lowers the objective, so it comes to an
// end.
void Lloyd::fill_empty(std::vector<Indices>& members, Indices& clusters) {
  for (std::int64_t empty = 0; empty < clusters_; ++empty) {
    if (!members[static_cast<std::size_t>(empty)].empty())
      continue;
    std::int64_t taken = -1;
    double farthest = 0;
    for (std::int64_t i = 0; i < rows_; ++i) {
      const bool alone = members[static_cast<std::size_t>(at(i).label)].size() < 2;
      if (!alone && at(i).squared > farthest) {
        farthest = at(i).squared;
        taken = i;
      }
    }
    if (taken < 0)
      return;
    Indices& donor = members[static_cast<std::size_t>(at(taken).label)];
    donor.erase(std::find(donor.begin(), donor.end(), taken));
    clusters.push_back(at(taken).label);
    clusters.push_back(empty);
    members[static_cast<std::size_t>(empty)] = {taken};
    at(taken) = {empty, 0, 0};
  }
  std::sort(clusters.begin(), clusters.end());
  clusters.erase(std::unique(clusters.begin(), clusters.end()), clusters.end());
}

// The centroids of `clusters` become the means of their rows, summed in f64 in row order.
void Lloyd::move_centroids(const Indices& changed) {
  std::vector<Indices> members(static_cast<std::size_t>(clusters_));
  for (std::int64_t i = 0; i < rows_; ++i) {
    members[static_cast<std::size_t>(at(i).label)].push_back(i);
  }
  Indices clusters = changed;
  fill_empty(members, clusters);
  for (std::int64_t i = 0; i < rows_; ++i) counted_[static_cast<std::size_t>(i)] = at(i).label;
  moved_.assign(static_cast<std::size_t>(clusters_), 0);
  float* const first = centroids_.mutable_data_ptr<float>();
  for_each_tile(std::ssize(clusters), [&](std::int64_t c) {
    const std::int64_t cluster = clusters[static_cast<std::size_t>(c)];
    const Indices& own = members[static_cast<std::size_t>(cluster)];
    if (own.empty())
      return;
    std::vector<double> sum(static_cast<std::size_t>(dims_));
    for (const std::int64_t member : own) {
      const float* x = row(member);
      for (std::int64_t i = 0; i < dims_; ++i) sum[static_cast<std::size_t>(i)] += x[i];
    }
    double squared = 0;
    float* to = first + cluster * dims_;
    for (std::int64_t i = 0; i < dims_; ++i) {
      const auto mean =
          static_cast<float>(sum[static_cast<std::size_t>(i)] / static_cast<double>(own.size()));
      const double way = static_cast<double>(mean) - static_cast<double>(to[i]);
      squared += way * way;
      to[i] = mean;
    }
    moved_[static_cast<std::size_t>(cluster)] = std::sqrt(squared);
  });
}

// Rows are spared where the bound on the second distance, less what the centroids moved, shows that
// nothing else came closer. Source: Hamerly, "Making k-means even faster", SDM 2010. Of the others,
// those whose own centroid stands still are compared with the moved ones only.
void Lloyd::assign() {
  std::int64_t most = 0;  // the centroid that moved farthest
  double runner_up = 0;
  Indices moved;
  for (std::int64_t j = 0; j < clusters_; ++j) {
    if (moved_[static_cast<std::size_t>(j)] > 0)
      moved.push_back(j);
    if (j != most && moved_[static_cast<std::size_t>(j)] > moved_[static_cast<std::size_t>(most)])
      most = j;
  }
  for (const std::int64_t j : moved) {
    if (j != most)
      runner_up = std::max(runner_up, moved_[static_cast<std::size_t>(j)]);
  }
  const float* first = centroids_.const_data_ptr<float>();
  std::vector<char> kind(static_cast<std::size_t>(rows_), 0);
  for_each_tile(tile_count(rows_, kTile), [&](std::int64_t tile) {
    for (std::int64_t i = tile * kTile; i < std::min(rows_, (tile + 1) * kTile); ++i) {
      Nearest& known = at(i);
      const bool own_moved = moved_[static_cast<std::size_t>(known.label)] > 0;
      if (own_moved)
        known.squared = search_.squared_distance(i, first + known.label * dims_);
      const double way = known.label == most ? runner_up : moved_[static_cast<std::size_t>(most)];
      const double second = std::max(0.0, std::sqrt(known.second) - way) * (1 - 1e-12);
      if (known.squared < second * second) {
        known.second = second * second;
      } else if (own_moved) {
        known = {};
        kind[static_cast<std::size_t>(i)] = 2;
      } else {
        kind[static_cast<std::size_t>(i)] = 1;
      }
    }
  });
  Indices against_moved, against_all;
  for (std::int64_t i = 0; i < rows_; ++i) {
    if (kind[static_cast<std::size_t>(i)] != 0)
      (kind[static_cast<std::size_t>(i)] == 1 ? against_moved : against_all).push_back(i);
  }
  search_.update(against_moved, centroids_, moved, nearest_);
  search_.update(against_all, centroids_, iota(clusters_), nearest_);
}

bool Lloyd::step() {
  const Indices changed = changed_clusters();
  if (changed.empty())
    return false;
  move_centroids(changed);
  assign();
  return true;
}

double Lloyd::objective() const {
  double sum = 0;
  for (const Nearest& nearest : nearest_) sum += nearest.squared;
  return sum;
}

Indices Lloyd::labels() const {
  Indices labels;
  for (const Nearest& nearest : nearest_) labels.push_back(nearest.label);
  return labels;
}

void check(const at::Tensor& points, const KmeansOptions& options) {
  if (points.dim() != 2 || points.size(0) < 1 || points.size(1) < 1 ||
      points.scalar_type() != at::kFloat || !points.is_contiguous())
    throw ConfigError("features", "another tensor", "need rows of f32 values, shape (N, d)");
  if (options.clusters < 1 || options.clusters > points.size(0)) {
    throw ConfigError(
        "buckets", fmt::format("{}", options.clusters),
        fmt::format("must lie in [1, {}]: fewer rows than clusters otherwise", points.size(0)));
  }
  if (options.restarts < 1)
    throw ConfigError("restarts", fmt::format("{}", options.restarts), "must be at least 1");
  if (options.max_iterations < 1)
    throw ConfigError("iterations", fmt::format("{}", options.max_iterations),
                      "must be at least 1");
  DLM_CHECK(at::isfinite(points).all().item().toBool(), "a point is NaN or infinite");
}

}  // namespace

Kmeans kmeans(const at::Tensor& points, const KmeansOptions& options) {
  const InferenceScope scope;
  check(points, options);
  const NearestSearch search(points);
  Kmeans best;
  best.objective = std::numeric_limits<double>::infinity();
  for (std::int64_t restart = 0; restart < options.restarts; ++restart) {
    Lloyd lloyd(points, search, options.clusters);
    lloyd.start(
        RandomStream(options.seed, Purpose::kKmeansStart, 0, static_cast<std::uint64_t>(restart)));
    std::int64_t iterations = 1;
    while (iterations < options.max_iterations && lloyd.step()) ++iterations;
    if (lloyd.objective() < best.objective)
      best = {lloyd.labels(), lloyd.centroids(), lloyd.objective(), iterations};
  }
  return best;
}

}  // namespace dlm
