// Fused loops over single rows, f32 or bf16, that libtorch needs several passes over memory for.
// Torch-free; sums and products in f32.
#pragma once

#include <cstdint>

namespace dlm {

// True where the processor has the instructions that our own loops (these, and those of
// attention_kernel.h) are compiled for.
bool vector_kernels_work();

// The running ln sum exp of a row that comes in parts: total * e^top.
struct LogSum {
  float top = -1e30F;
  double total = 0;
};

// A part of a row; `brain`: bf16, else f32.
struct RowPart {
  const void* values = nullptr;
  std::int64_t count = 0;
  bool brain = false;
};

// -infinity adds nothing; NaN and +infinity make the total NaN.
void add_part(const RowPart& part, LogSum& sum);

// One row of heads to rotate in place, rotate-half convention: see rotary.h.
struct RotateTask {
  void* heads = nullptr;  // (heads, head_dim)
  std::int64_t head_count = 0;
  std::int64_t head_dim = 0;
  const void* cos = nullptr;  // (head_dim), the two halves equal
  const void* sin = nullptr;
  bool brain = false;
};

void rotate_row(const RotateTask& task);

}  // namespace dlm
