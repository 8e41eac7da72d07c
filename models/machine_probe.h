// What this machine can do at most, measured: the figures that speeds are stated against.
// Torch-free.
#pragma once

#include <cstdint>
#include <string>

namespace dlm {

struct LinearShape {
  std::int64_t rows = 1024;
  std::int64_t inputs = 1280;
  std::int64_t outputs = 5120;
};

// GFLOP/s (2 x multiply-adds) of one matrix product of the shape by `backend` (aten, onednn, auto)
// in `dtype` (f32, bf16, f16) on the CPU: the best of several after a warm-up. Throws ConfigError
// where the back end can not compute it.
double measure_linear_gflops(const std::string& backend, const std::string& dtype,
                             const LinearShape& shape);

// The back end that "auto" stands for here: "aten" or "onednn".
std::string auto_backend(const std::string& dtype);

// GB/s of reading a 512 MB array with every thread, as fast as the loops over weights ask for it:
// the best of several.
double measure_read_gigabytes_per_second();

}  // namespace dlm
