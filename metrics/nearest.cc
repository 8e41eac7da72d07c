#include "metrics/nearest.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include <ATen/ops/empty.h>
#include <ATen/ops/mm.h>

#include "metrics/tiles.h"
#include "models/transformer/inference_scope.h"

namespace dlm {
namespace {

constexpr std::int64_t kTile = 256;       // rows of one product
constexpr std::int64_t kBf16Dims = 256;   // from here on a product in bf16 pays
constexpr std::int64_t kBf16Width = 128;  // the same for its columns

// The centroids a product is taken with.
struct Columns {
  at::Tensor transposed;                 // (d, m)
  at::Tensor bf16;                       // the same rounded, or undefined
  std::vector<float> squared_norms;      // (m)
  std::span<const std::int64_t> labels;  // (m)
  double largest_norm = 0;
};

double squared_norm(const float* x, std::int64_t dims) {
  double sum = 0;
#pragma omp simd reduction(+ : sum)
  for (std::int64_t i = 0; i < dims; ++i) {
    const double value = x[i];
    sum += value * value;
  }
  return sum;
}

double squared_difference(const float* x, const float* y, std::int64_t dims) {
  double sum = 0;
#pragma omp simd reduction(+ : sum)
  for (std::int64_t i = 0; i < dims; ++i) {
    const double difference = static_cast<double>(x[i]) - static_cast<double>(y[i]);
    sum += difference * difference;
  }
  return sum;
}

at::Tensor gathered(const at::Tensor& matrix, std::span<const std::int64_t> rows) {
  const std::int64_t count = std::ssize(rows);
  if (count > 0 && rows.back() - rows.front() == count - 1)
    return matrix.narrow(0, rows.front(), count);  // rising and distinct, so without a hole
  at::Tensor out = at::empty({count, matrix.size(1)}, matrix.options());
  const std::size_t bytes = static_cast<std::size_t>(matrix.size(1)) * matrix.itemsize();
  const auto* from = static_cast<const char*>(matrix.const_data_ptr());
  auto* to = static_cast<char*>(out.mutable_data_ptr());
  for (const std::int64_t row : rows) {
    std::memcpy(to, from + static_cast<std::size_t>(row) * bytes, bytes);
    to += bytes;
  }
  return out;
}

Columns gather_columns(const at::Tensor& centroids, std::span<const std::int64_t> labels) {
  Columns columns{gathered(centroids, labels).t(), {}, {}, labels, 0};
  const std::int64_t dims = centroids.size(1);
  for (const std::int64_t label : labels) {
    const double norm = squared_norm(centroids.const_data_ptr<float>() + label * dims, dims);
    columns.squared_norms.push_back(static_cast<float>(norm));
    columns.largest_norm = std::max(columns.largest_norm, std::sqrt(norm));
  }
  return columns;
}

// A bound of the error of |c|^2 - 2 x.c as computed: d products and sums in f32 in any order, and
// the rounding of |c|^2 and of the difference. In bf16 both factors and the product are rounded to
// 8 bits on top: 2 x 3 x 2^-9 |x||c|, and some slack for their second-order terms. Source: Higham,
// Accuracy and Stability, 3.5.
double error_bound(double row_norm, double centroid_norm, std::int64_t dims, bool bf16) {
  constexpr double kUnit = 0x1.0p-24;
  const double products =
      kUnit * (2.0 * static_cast<double>(dims) + 16.0) + (bf16 ? 6.2 * 0x1.0p-9 : 0);
  return products * row_norm * centroid_norm + kUnit * 8.0 * centroid_norm * centroid_norm;
}

// Where the processor multiplies bf16 itself. What comes out is the same either way.
bool has_fast_bf16() {
#if defined(__x86_64__)
  return __builtin_cpu_supports("avx512bf16") != 0;
#else
  return false;
#endif
}

void offer(Nearest& nearest, std::int64_t label, double squared) {
  if (label == nearest.label)
    return;
  const bool closer =
      squared < nearest.squared || (squared == nearest.squared && label < nearest.label);
  if (closer) {
    nearest.second = std::min(nearest.second, nearest.squared);
    nearest.squared = squared;
    nearest.label = label;
  } else {
    nearest.second = std::min(nearest.second, squared);
  }
}

// scores[j] = |c_j|^2 - 2 x.c_j in place of the products x.c_j; the smallest of them.
float to_scores(float* scores, const std::vector<float>& squared_norms) {
  float smallest = std::numeric_limits<float>::infinity();
  const std::size_t count = squared_norms.size();
#pragma omp simd reduction(min : smallest)
  for (std::size_t j = 0; j < count; ++j) {
    scores[j] = squared_norms[j] - 2 * scores[j];
    smallest = scores[j] < smallest ? scores[j] : smallest;
  }
  return smallest;
}

float smallest_above(const float* scores, std::size_t count, float limit) {
  float smallest = std::numeric_limits<float>::infinity();
#pragma omp simd reduction(min : smallest)
  for (std::size_t j = 0; j < count; ++j) {
    const float score = scores[j] > limit ? scores[j] : std::numeric_limits<float>::infinity();
    smallest = score < smallest ? score : smallest;
  }
  return smallest;
}

}  // namespace

NearestSearch::NearestSearch(const at::Tensor& points) : points_(points) {
  const std::int64_t dims = points.size(1);
  for (std::int64_t row = 0; row < points.size(0); ++row) {
    squared_norms_.push_back(squared_norm(points.const_data_ptr<float>() + row * dims, dims));
  }
  if (dims >= kBf16Dims && has_fast_bf16())
    bf16_points_ = points.to(at::kBFloat16);
}

double NearestSearch::squared_distance(std::int64_t row, const float* centroid) const {
  const std::int64_t dims = points_.size(1);
  return squared_difference(points_.const_data_ptr<float>() + row * dims, centroid, dims);
}

void NearestSearch::update(std::span<const std::int64_t> rows, const at::Tensor& centroids,
                           std::span<const std::int64_t> columns,
                           std::span<Nearest> nearest) const {
  if (rows.empty() || columns.empty())
    return;
  const InferenceScope scope;
  Columns chosen = gather_columns(centroids, columns);
  // Whole tiles only: a product of a new shape is compiled first.
  if (bf16_points_.defined() && std::ssize(columns) == centroids.size(0) &&
      std::ssize(columns) >= kBf16Width)
    chosen.bf16 = chosen.transposed.to(at::kBFloat16);
  const std::int64_t dims = points_.size(1);
  const std::size_t width = columns.size();
  for_each_tile(tile_count(std::ssize(rows), kTile), [&](std::int64_t tile) {
    const InferenceScope inner;
    const auto first = static_cast<std::size_t>(tile * kTile);
    const auto part = rows.subspan(first, std::min<std::size_t>(kTile, rows.size() - first));
    const bool bf16 = chosen.bf16.defined() && std::ssize(part) == kTile;
    at::Tensor products = bf16 ? at::mm(gathered(bf16_points_, part), chosen.bf16).to(at::kFloat)
                               : at::mm(gathered(points_, part), chosen.transposed);
    float* scores = products.mutable_data_ptr<float>();
    for (const std::int64_t row : part) {
      const double norm = squared_norms_[static_cast<std::size_t>(row)];
      const double margin = error_bound(std::sqrt(norm), chosen.largest_norm, dims, bf16);
      Nearest& known = nearest[static_cast<std::size_t>(row)];
      const double smallest =
          std::min<double>(to_scores(scores, chosen.squared_norms), known.squared - norm);
      const auto limit = static_cast<float>(smallest + 2.5 * margin);
      for (std::size_t j = 0; j < width; ++j) {
        if (scores[j] <= limit) {
          const std::int64_t label = chosen.labels[j];
          offer(known, label,
                squared_distance(row, centroids.const_data_ptr<float>() + label * dims));
        }
      }
      const double others = smallest_above(scores, width, limit) + norm - margin;
      known.second = std::min(known.second, std::max(others, 0.0));
      scores += width;
    }
  });
}

}  // namespace dlm
