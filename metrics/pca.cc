#include "metrics/pca.h"

#include <algorithm>
#include <cmath>
#include <tuple>
#include <utility>

#include <ATen/ops/empty.h>
#include <ATen/ops/linalg_eigh.h>
#include <ATen/ops/mm.h>

#include "harness/base/error.h"
#include "metrics/tiles.h"
#include "models/transformer/inference_scope.h"

namespace dlm {
namespace {

constexpr std::int64_t kBlock = 256;  // columns of a tile
constexpr std::int64_t kRows = 512;   // rows of a projection tile

// The rows minus their mean, which is summed in f64 in row order.
at::Tensor centred(const at::Tensor& points) {
  const std::int64_t rows = points.size(0), columns = points.size(1);
  at::Tensor mean = at::empty({columns}, at::kFloat);
  const float* x = points.const_data_ptr<float>();
  float* out = mean.mutable_data_ptr<float>();
  for_each_tile(tile_count(columns, kBlock), [&](std::int64_t tile) {
    const std::int64_t first = tile * kBlock, width = std::min(kBlock, columns - first);
    std::vector<double> sum(static_cast<std::size_t>(width));
    for (std::int64_t row = 0; row < rows; ++row) {
      const float* values = x + row * columns + first;
      for (std::int64_t i = 0; i < width; ++i) sum[static_cast<std::size_t>(i)] += values[i];
    }
    for (std::int64_t i = 0; i < width; ++i) {
      out[first + i] =
          static_cast<float>(sum[static_cast<std::size_t>(i)] / static_cast<double>(rows));
    }
  });
  return points.sub(mean);
}

// factors^T factors (n, n) of `factors` (r, n), symmetric: only tiles on and above the diagonal are
// computed, each by one thread.
at::Tensor symmetric_product(const at::Tensor& factors) {
  const std::int64_t n = factors.size(1), blocks = tile_count(n, kBlock);
  std::vector<std::pair<std::int64_t, std::int64_t>> pairs;
  for (std::int64_t i = 0; i < blocks; ++i) {
    for (std::int64_t j = i; j < blocks; ++j) pairs.emplace_back(i * kBlock, j * kBlock);
  }
  at::Tensor product = at::empty({n, n}, at::kFloat);
  for_each_tile(std::ssize(pairs), [&](std::int64_t tile) {
    const InferenceScope scope;
    const auto [row, column] = pairs[static_cast<std::size_t>(tile)];
    const std::int64_t height = std::min(kBlock, n - row), width = std::min(kBlock, n - column);
    const at::Tensor block =
        at::mm(factors.narrow(1, row, height).t(), factors.narrow(1, column, width));
    product.narrow(0, row, height).narrow(1, column, width).copy_(block);
    if (row != column)
      product.narrow(0, column, width).narrow(1, row, height).copy_(block.t());
  });
  return product;
}

// left (r, n) times right (n, m), by tiles of rows.
at::Tensor row_product(const at::Tensor& left, const at::Tensor& right) {
  at::Tensor product = at::empty({left.size(0), right.size(1)}, at::kFloat);
  for_each_tile(tile_count(left.size(0), kRows), [&](std::int64_t tile) {
    const InferenceScope scope;
    const std::int64_t first = tile * kRows, rows = std::min(kRows, left.size(0) - first);
    at::Tensor out = product.narrow(0, first, rows);
    at::mm_out(out, left.narrow(0, first, rows), right);
  });
  return product;
}

struct Spectrum {
  std::vector<double> values;  // falling, clipped at 0
  at::Tensor vectors;          // (n, n), column i belongs to values[n - 1 - i]
};

Spectrum decompose(const at::Tensor& symmetric) {
  Spectrum spectrum;
  at::Tensor values;
  {
    const OneThread one;
    std::tie(values, spectrum.vectors) = at::linalg_eigh(symmetric);
  }
  const float* rising = values.const_data_ptr<float>();
  for (std::int64_t i = values.size(0); i-- > 0;) {
    spectrum.values.push_back(std::max(0.0, static_cast<double>(rising[i])));
  }
  return spectrum;
}

// The variance of each kept component over the total.
std::vector<double> kept_ratios(const std::vector<double>& values, double share) {
  double total = 0;
  for (const double value : values) total += value;
  std::vector<double> kept;
  double sum = 0;
  for (const double value : values) {
    const double ratio = total > 0 ? value / total : 0;
    sum += ratio;
    kept.push_back(ratio);
    if (sum >= share || total == 0)
      break;
  }
  return kept;
}

}  // namespace

Pca principal_components(const at::Tensor& points, double share) {
  if (!(share > 0) || share > 1)
    throw ConfigError("explained-variance", fmt::format("{}", share), "must lie in (0, 1]");
  if (points.dim() != 2 || points.size(0) < 2 || points.size(1) < 1) {
    throw ConfigError("features", fmt::format("{} dimensions", points.dim()),
                      "need at least two rows of at least one value");
  }
  const InferenceScope scope;
  const at::Tensor x = centred(points);
  const bool wide = x.size(1) > x.size(0);
  const Spectrum spectrum = decompose(symmetric_product(wide ? x.t() : x));
  Pca pca;
  pca.variance_ratio = kept_ratios(spectrum.values, share);
  const std::int64_t kept = std::ssize(pca.variance_ratio);
  const std::int64_t n = spectrum.vectors.size(1);
  const at::Tensor leading = spectrum.vectors.narrow(1, n - kept, kept).flip(1);
  if (!wide) {
    pca.projected = row_product(x, leading.contiguous());
    return pca;
  }
  // X = U S V^T, so that the projected rows X V are U S.
  at::Tensor scale = at::empty({kept}, at::kFloat);
  for (std::int64_t i = 0; i < kept; ++i) {
    scale.mutable_data_ptr<float>()[i] =
        static_cast<float>(std::sqrt(spectrum.values[static_cast<std::size_t>(i)]));
  }
  pca.projected = leading.mul(scale).contiguous();
  return pca;
}

}  // namespace dlm
