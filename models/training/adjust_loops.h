// Loops over the rows of one thread that an ADJUST layer's training needs beside row_loops.h: RMS
// norms, SwiGLU, and the divergence of two laws. Torch-free; f32, sums of laws in f64.
#pragma once

#include <cstdint>

namespace dlm {

// h = x / sqrt(mean x^2 + eps) * weight.
struct RmsLoop {
  const float* x = nullptr;  // (N, D), rows `x_stride` apart
  std::int64_t x_stride = 0;
  float* inverse = nullptr;       // (N): 1 / root; written by the first, read later
  const float* weight = nullptr;  // (D)
  float* h = nullptr;             // (N, D), rows `h_stride` apart; of the backward: d h
  std::int64_t h_stride = 0;
  std::int64_t width = 0;
  float eps = 1e-6F;
};

void rms_rows(const RmsLoop& loop, std::int64_t begin, std::int64_t end);

// h again, from x and inverse.
void rms_rows_again(const RmsLoop& loop, std::int64_t begin, std::int64_t end);

// dx (N, D) += the gradient, where it is not null; sums (D) += that of the weight.
struct RmsBackward {
  float* dx = nullptr;
  float* sums = nullptr;
};

void rms_backward_rows(const RmsLoop& loop, std::int64_t begin, std::int64_t end,
                       const RmsBackward& to);

// Rows of gate (I) and up (I) values side by side: out = silu(gate) * up.
void swiglu_rows(const float* gate_up, float* out, std::int64_t rows, std::int64_t inner);

// d_gate_up (rows, 2 I) from d_out (rows, I).
struct SwigluBackward {
  const float* gate_up = nullptr;
  const float* d_out = nullptr;
  float* d_gate_up = nullptr;
};

void swiglu_backward_rows(const SwigluBackward& of, std::int64_t rows, std::int64_t inner);

// A row of V logits; the mask has no probability whatever its logit.
struct LogitRow {
  float* values = nullptr;
  std::int64_t size = 0;
  std::int64_t mask_id = 0;
};

// The law, in place of its logits. Returns sum p ln p, nats.
double to_law(const LogitRow& row);

// A law that another is compared with.
struct LawRow {
  const float* probabilities = nullptr;
  double negative_entropy = 0;  // sum p ln p
};

struct RowDivergence {
  double nats = 0;         // KL(teacher || student)
  bool same_best = false;  // both have the same most probable token, the lowest of equals
  double log_sum = 0;      // of the student's logits
};

// The student's logits stay as they are, but for the mask's.
RowDivergence divergence(const LawRow& teacher, const LogitRow& student);

// scale * d divergence / d logits, in place of the student's logits.
void differentiate_divergence(const LawRow& teacher, const LogitRow& student, double log_sum,
                              double scale);

}  // namespace dlm
