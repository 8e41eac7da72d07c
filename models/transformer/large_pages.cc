#include "models/transformer/large_pages.h"

#include <cstdint>

#include <ATen/ops/empty.h>

#include <sys/mman.h>

namespace dlm {
namespace {

constexpr std::uintptr_t kLargePage = std::uintptr_t{2} << 20;

}  // namespace

at::Tensor zeros_in_large_pages(at::IntArrayRef sizes, const at::TensorOptions& options) {
  const at::Tensor out = at::empty(sizes, options);
#ifdef MADV_HUGEPAGE
  if (out.is_cpu()) {  // before it is written to: pages that are there already stay small
    const auto begin = reinterpret_cast<std::uintptr_t>(out.mutable_data_ptr());
    const std::uintptr_t first = (begin + kLargePage - 1) / kLargePage * kLargePage;
    const std::uintptr_t last = (begin + out.nbytes()) / kLargePage * kLargePage;
    if (first < last)  // advice
      (void)madvise(reinterpret_cast<void*>(first), last - first, MADV_HUGEPAGE);
  }
#endif
  return out.zero_();
}

}  // namespace dlm
