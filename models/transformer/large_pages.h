// Tensors that are read through again and again, in large pages where the system has them: keys and
// values of a cache are read a fifth to a third faster then.
#pragma once

#include <ATen/core/Tensor.h>

namespace dlm {

// Zeros, as at::zeros. Large pages are asked for on the CPU; where that is refused, pages stay
// small.
at::Tensor zeros_in_large_pages(at::IntArrayRef sizes, const at::TensorOptions& options);

}  // namespace dlm
