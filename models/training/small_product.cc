#include "models/training/small_product.h"

#include "models/training/clones.h"
#include "models/transformer/row_kernels.h"

namespace dlm {

DLM_CLONED void small_product_plain(const SmallProduct& p) {
  for (std::int64_t row = 0; row < p.rows; ++row) {
    float* c = p.c + row * p.c_row;
    const float* a = p.a + row * p.a_row;
    for (std::int64_t i = 0; i < p.inner; ++i) {
      const float left = a[i * p.a_inner];
      const float* b = p.b + i * p.b_row;
      if (i == 0 && !p.adds) {
#pragma omp simd
        for (std::int64_t n = 0; n < p.columns; ++n) c[n] = left * b[n];
      } else {
#pragma omp simd
        for (std::int64_t n = 0; n < p.columns; ++n) c[n] += left * b[n];
      }
    }
  }
}

void small_product(const SmallProduct& product) {
  static const bool has_vectors = vector_kernels_work();
  if (has_vectors)
    small_product_vectors(product);
  else
    small_product_plain(product);
}

}  // namespace dlm
