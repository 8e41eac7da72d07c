// Matrix products of a size that fits a core's cache, by one thread. Torch-free.
#pragma once

#include <cstdint>

namespace dlm {

// c (rows, columns) = a b, or += where `adds`. Element (r, i) of a is a[r * a_row + i * a_inner];
// columns a multiple of 16. Strides in floats.
struct SmallProduct {
  const float* a = nullptr;
  std::int64_t a_row = 0, a_inner = 1;
  const float* b = nullptr;
  std::int64_t b_row = 0;
  float* c = nullptr;
  std::int64_t c_row = 0;
  std::int64_t rows = 0, columns = 0, inner = 0;
  bool adds = false;
};

// By the best loops that this processor has.
void small_product(const SmallProduct& product);

// By plain loops, and by those of row_kernels.h's vector_kernels_work().
void small_product_plain(const SmallProduct& product);
void small_product_vectors(const SmallProduct& product);

}  // namespace dlm
