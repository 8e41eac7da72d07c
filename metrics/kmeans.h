// k-means: Lloyd's algorithm from several random starts, the best kept.
//
// Every assignment is the exact nearest centroid (distances in f64, ties to the lowest index):
// matrix products in single precision only say which centroids can not be it. So labels do not
// depend on threads, on the BLAS, or on which bounds spared work.
#pragma once

#include <cstdint>
#include <vector>

#include <ATen/core/Tensor.h>

namespace dlm {

struct KmeansOptions {
  std::int64_t clusters = 0;  // k, in [1, N]
  std::int64_t restarts = 5;
  std::int64_t max_iterations = 500;  // of one restart; it stops when no label changes
  std::uint64_t seed = 0;             // start r draws k distinct rows from (seed, kKmeansStart, r)
};

struct Kmeans {
  std::vector<std::int64_t> labels;  // (N), nearest centroid of the best restart
  at::Tensor centroids;              // (k, d) f32
  double objective = 0;              // sum of squared distances; ties go to the earlier restart
  std::int64_t iterations = 0;       // of the best restart
};

// points (N, d) f32 contiguous on the CPU, all finite. A centroid that loses its last row moves to
// the row farthest from its own centroid, as long as one is away from it; with fewer distinct rows
// than clusters some stay empty. Throws ConfigError for options or a shape out of range, "fewer
// rows than clusters" among them.
Kmeans kmeans(const at::Tensor& points, const KmeansOptions& options);

}  // namespace dlm
