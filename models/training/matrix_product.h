// Products of whole matrices that change at every step of a training, on the processor's matrix
// unit: both sides are taken apart and laid out on the way, each as it lies in memory. Torch-free.
//
// The unit multiplies bf16 exactly into f32 sums. An f32 is taken apart into three bf16 (8 + 8 + 8
// bits, exact), and the six products that reach f32's last bit are summed, small ones first; what
// is left out is below 2^-22 of a term, which is no more than a sum of f32 rounds.
#pragma once

#include <cstdint>

namespace dlm {

// A matrix (outer, inner): element (o, i) at o * stride + i, or at i * stride + o where it lies
// `transposed`.
struct ProductSide {
  const void* data = nullptr;
  std::int64_t stride = 0;  // in elements
  bool transposed = false;
};

// out (rows, columns) = left right^T + bias, or += left right^T where it `adds`.
struct MatrixProduct {
  std::int64_t rows = 0, columns = 0, inner = 0;
  ProductSide left;    // (rows, inner)
  ProductSide right;   // (columns, inner)
  bool brain = false;  // both sides are bf16, else f32
  const float* bias = nullptr;
  float* out = nullptr;
  std::int64_t out_stride = 0;
  bool adds = false;
};

// Whether this processor has what matrix_product needs.
bool matrix_product_works();

// By all threads of the caller's OpenMP team; the same bits for any number of them.
void matrix_product(const MatrixProduct& product);

}  // namespace dlm
