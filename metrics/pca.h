// Principal components of row vectors, as many as explain a share of their variance.
#pragma once

#include <cstdint>
#include <vector>

#include <ATen/core/Tensor.h>

namespace dlm {

struct Pca {
  at::Tensor projected;  // (N, m) f32: centred rows in the basis of the leading m components
  std::vector<double> variance_ratio;  // of the kept components, falling; sums to >= the share
};

// points (N, D) f32 contiguous on the CPU, N >= 2, every value finite. Rows are centred, not
// scaled. m is the smallest number of leading components whose variances sum to at least `share`
// (0 < share <= 1) of the total; the one that crosses it is kept. Rows that are all equal give one
// component of zeros. The smaller of the D x D covariance and the N x N Gram matrix is decomposed.
// The same at any number of threads. Throws ConfigError for a share or shape out of range.
Pca principal_components(const at::Tensor& points, double share);

}  // namespace dlm
