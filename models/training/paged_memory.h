// f32 tensors of a training that need not be in memory as a whole.
#pragma once

#include <cstdint>
#include <string>

#include <ATen/core/Tensor.h>

namespace dlm {

// Zeros. What was never written to takes no memory: of an embedding, the rows of tokens that never
// occurred.
at::Tensor untouched_zeros(at::IntArrayRef sizes);

// These values, of memory that nothing else shares, are 0 from now on, and take no memory, page by
// whole page, until they are written to again.
void forget_to_zero(float* values, std::int64_t count);

// Zeros in a file of a folder that nobody sees and that goes with the last that holds it: the
// system writes its pages out when it needs the memory.
class DiskValues {
 public:
  // Throws DataError where the file cannot be made, or the disk is too full for all of it.
  DiskValues(at::IntArrayRef sizes, const std::string& folder);
  ~DiskValues();
  DiskValues(const DiskValues&) = delete;
  DiskValues& operator=(const DiskValues&) = delete;

  // All of them, f32, as memory that the system reads and writes page by page when it is used.
  const at::Tensor& tensor() const { return tensor_; }

  // Values [begin, begin + count) by way of a buffer, which needs no memory of theirs. 0, or the
  // number of the system's error.
  int read(std::int64_t begin, std::int64_t count, float* to) const;
  int write(std::int64_t begin, std::int64_t count, const float* from) const;

  // What was used of tensor() leaves the process's memory and is read back when it is used again.
  void leave() const;

 private:
  int file_ = -1;
  at::Tensor tensor_;
};

}  // namespace dlm
