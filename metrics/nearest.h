// The exact nearest centroid of many rows, at the speed of a matrix product in f32, or in bf16
// where the processor has that.
//
// A product gives |c|^2 - 2 x.c for all pairs with a rounding error of at most `margin`; only
// centroids within twice that of the smallest are measured again in f64.
#pragma once

#include <cstdint>
#include <limits>
#include <span>
#include <vector>

#include <ATen/core/Tensor.h>

namespace dlm {

// What is known of one row's nearest centroid.
struct Nearest {
  std::int64_t label = -1;                                   // -1: none yet
  double squared = std::numeric_limits<double>::infinity();  // exact squared distance to it
  // At most the squared distance to any other centroid that was compared.
  double second = std::numeric_limits<double>::infinity();
};

// Rows and centroids that distances are asked of; both (_, d) f32 contiguous.
class NearestSearch {
 public:
  explicit NearestSearch(const at::Tensor& points);

  // Squared distance of a row to a centroid, f64.
  double squared_distance(std::int64_t row, const float* centroid) const;

  // Compares every row of `rows` with the centroids `columns` (rising) and updates nearest[row]: a
  // closer one replaces its label, an equally close one where its index is lower. The label known
  // before is kept as a rival even where it is not among `columns`.
  void update(std::span<const std::int64_t> rows, const at::Tensor& centroids,
              std::span<const std::int64_t> columns, std::span<Nearest> nearest) const;

 private:
  at::Tensor points_;
  at::Tensor bf16_points_;  // rounded, where products in bf16 are fast and pay; else undefined
  std::vector<double> squared_norms_;
};

}  // namespace dlm
