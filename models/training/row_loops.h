// Loops over the rows of one thread: norms, GELU, gated residuals with dropout, loss rows, each one
// pass over memory. Torch-free. "T values" are f32, or bf16 where `brain`; all else is f32; sums
// are f32 over a row. D columns.
#pragma once

#include <array>
#include <cstdint>

namespace dlm {

// Consecutive rows under one modulation.
struct RowRun {
  std::int64_t begin = 0;
  std::int64_t end = 0;
  std::int64_t group = 0;
};

// h = (x - mean) / sqrt(variance + 1e-5) * weight + bias.
struct NormLoop {
  const float* x = nullptr;  // (N, D)
  float* stats = nullptr;    // (N, 2): mean and 1 / deviation; written by the first, read later
  const float* weight = nullptr;  // (D), of the run's group
  const float* bias = nullptr;    // (D), or null
  void* h = nullptr;              // (N, D) T; of the backward: what d h is read from
  std::int64_t width = 0;
  bool brain = false;
};

void norm_rows(const NormLoop& loop, const RowRun& rows);

// h again, from x and stats.
void norm_rows_again(const NormLoop& loop, const RowRun& rows);

// dx (N, D) += the gradient; sums (2, D) += of d h * normalised x, and of d h.
void norm_backward_rows(const NormLoop& loop, const RowRun& rows, float* dx, float* sums);

// a = gelu(u), tanh form. T values, `count` of them.
void gelu_values(const void* u, void* a, std::int64_t count, bool brain);

// a = gelu(u) and du = da * gelu'(u) in place of da.
void gelu_backward_values(const void* u, void* a, void* da, std::int64_t count, bool brain);

// out = x + gate * kept * y.
struct GateLoop {
  const float* x = nullptr;            // (N, D)
  const void* y = nullptr;             // (N, D) T
  const float* gate = nullptr;         // (D) of the run's group, or null: 1
  const std::uint8_t* keep = nullptr;  // (N, keep_stride) 0 or 1, or null: nothing is dropped
  std::int64_t keep_stride = 0;
  float kept_scale = 1;  // 1 / (1 - p)
  std::int64_t width = 0;
  bool brain = false;
};

void gate_rows(const GateLoop& loop, const RowRun& rows, float* out);

// What gate_backward_rows reads and writes.
struct GateBackwardLoop {
  const float* d_out = nullptr;  // (N, D)
  void* d_y = nullptr;           // (N, D) T
  float* sums = nullptr;         // (D), of the run, where there is a gate
};

// d_y = d_out * gate * kept; sums += d_out * kept * y.
void gate_backward_rows(const GateLoop& loop, const RowRun& rows, const GateBackwardLoop& d);

inline constexpr std::int64_t kKeepStep = 128;  // channels of one group of draws

struct KeepDraw {
  std::array<std::uint32_t, 2> key;
  std::uint32_t position = 0;
  std::uint32_t threshold = 0;
};

// keep[c] = 1 where channel c's 16 bits, of Philox under the key at counter (c / 128, lane,
// position), reach the threshold; `width` a multiple of kKeepStep.
void draw_keep(const KeepDraw& draw, std::uint8_t* keep, std::int64_t width);

struct ValueRow {
  void* data = nullptr;  // T
  std::int64_t count = 0;
  bool brain = false;
};

// ln sum of e^value, in f64 relative to the largest.
double log_sum_exp(const ValueRow& row);

// value = factor * e^(value - shift), in place.
void exp_scaled(const ValueRow& row, float shift, float factor);

// to += from.
void add_values(float* to, const float* from, std::int64_t count);

}  // namespace dlm
