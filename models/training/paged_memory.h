// f32 tensors of a training that need not be in memory as a whole.
#pragma once

#include <cstdint>
#include <string>

#include <ATen/core/Tensor.h>

namespace dlm {

// Zeros. What was never written to takes no memory: of an embedding, the rows of tokens that never
// occurred.
at::Tensor untouched_zeros(at::IntArrayRef sizes);

// Zeros in a file of `folder` that nobody sees and that goes with the tensor: the system writes its
// pages out when it needs the memory. Throws DataError where the file cannot be made, or the disk
// is too full for all of it.
at::Tensor zeros_on_disk(at::IntArrayRef sizes, const std::string& folder);

// These values will not be needed soon: what lies on disk leaves the process's memory, page by
// whole page, and is read back when it is used. For zeros_on_disk() alone: elsewhere values are
// lost.
void leave_to_disk(const float* values, std::int64_t count);

}  // namespace dlm
