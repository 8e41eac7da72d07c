// Rotary position embedding, rotate-half convention of the Hugging Face checkpoints: element i of a
// head is paired with element i + D/2.
#pragma once

#include <cstdint>
#include <mutex>
#include <string>

#include <ATen/core/Tensor.h>

namespace dlm {

enum class RotaryScaling { kNone, kLinear, kLlama3 };

struct RotaryConfig {
  std::int64_t head_dim = 0;
  double theta = 10000;
  RotaryScaling scaling = RotaryScaling::kNone;
  double factor = 1;                // kLinear, kLlama3
  double low_frequency_factor = 1;  // this and below: kLlama3
  double high_frequency_factor = 4;
  std::int64_t original_max_length = 8192;
};

// Angle per position of each pair, (head_dim / 2) f32. Computed in f32 as transformers does, so
// that long positions agree with it. Source: transformers modeling_rope_utils.py
// (_compute_default_rope_parameters, _compute_linear_scaling_rope_parameters,
// _compute_llama3_parameters).
at::Tensor rotary_frequencies(const RotaryConfig& config);

struct RotaryRows {
  at::Tensor cos, sin;  // (N, 1, D), the two halves equal
};

// x (N, heads, D) -> x * cos + rotate_half(x) * sin, a new tensor.
at::Tensor rotate(const at::Tensor& x, const RotaryRows& rows);

// The same in place: x (N, heads, D), last stride 1.
void rotate_in_place(const at::Tensor& x, const RotaryRows& rows);

// Cosines and sines of all positions up to the longest asked for, computed once and grown when a
// longer pass comes. Safe to share between threads.
class RotaryTable {
 public:
  RotaryTable(const RotaryConfig& config, at::ScalarType dtype, at::Device device);

  // positions (N) int64, each below `length`.
  RotaryRows rows(const at::Tensor& positions, std::int64_t length) const;

 private:
  at::Tensor frequencies_;
  at::ScalarType dtype_;
  at::Device device_;
  mutable std::mutex mutex_;
  mutable at::Tensor cos_, sin_;  // (length, D)
};

}  // namespace dlm
