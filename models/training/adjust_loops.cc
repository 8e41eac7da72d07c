#include "models/training/adjust_loops.h"

#include <cmath>

#include "models/training/clones.h"
#include "models/training/loop_scalars.h"
#include "models/training/row_loops.h"

namespace dlm {
namespace {

constexpr float kLog2E = 1.44269504F;
constexpr float kNoLogit = -1e6F;  // no probability in f32, yet a number

DLM_INLINE float sigmoid(float x) {
  const float power = -x * kLog2E;
  return 1 / (1 + exp2_of(power > 126.0F ? 126.0F : power));
}

std::int64_t best_of_row(const float* values, std::int64_t count) {
  std::int64_t best = 0;
  for (std::int64_t i = 1; i < count; ++i) {
    if (values[i] > values[best])
      best = i;
  }
  return best;
}

}  // namespace

DLM_CLONED void rms_rows_again(const RmsLoop& loop, std::int64_t begin, std::int64_t end) {
  const std::int64_t width = loop.width;
  for (std::int64_t row = begin; row < end; ++row) {
    const float* x = loop.x + row * loop.x_stride;
    float* h = loop.h + row * loop.h_stride;
    const float inverse = loop.inverse[row];
#pragma omp simd
    for (std::int64_t i = 0; i < width; ++i) h[i] = x[i] * inverse * loop.weight[i];
  }
}

DLM_CLONED void rms_rows(const RmsLoop& loop, std::int64_t begin, std::int64_t end) {
  for (std::int64_t row = begin; row < end; ++row) {
    const float* x = loop.x + row * loop.x_stride;
    float square = 0;
#pragma omp simd reduction(+ : square)
    for (std::int64_t i = 0; i < loop.width; ++i) square += x[i] * x[i];
    loop.inverse[row] = 1 / std::sqrt(square / static_cast<float>(loop.width) + loop.eps);
  }
  rms_rows_again(loop, begin, end);
}

DLM_CLONED void rms_backward_rows(const RmsLoop& loop, std::int64_t begin, std::int64_t end,
                                  const RmsBackward& to) {
  const std::int64_t width = loop.width;
  for (std::int64_t row = begin; row < end; ++row) {
    const float* x = loop.x + row * loop.x_stride;
    const float* dh = loop.h + row * loop.h_stride;
    const float inverse = loop.inverse[row];
    float along = 0;
#pragma omp simd reduction(+ : along)
    for (std::int64_t i = 0; i < width; ++i) {
      const float normal = x[i] * inverse;
      to.sums[i] += dh[i] * normal;
      along += dh[i] * loop.weight[i] * normal;
    }
    if (to.dx == nullptr)
      continue;
    along /= static_cast<float>(width);
    float* dx = to.dx + row * width;
#pragma omp simd
    for (std::int64_t i = 0; i < width; ++i)
      dx[i] += inverse * (dh[i] * loop.weight[i] - x[i] * inverse * along);
  }
}

DLM_CLONED void swiglu_rows(const float* gate_up, float* out, std::int64_t rows,
                            std::int64_t inner) {
  for (std::int64_t row = 0; row < rows; ++row) {
    const float* gate = gate_up + 2 * row * inner;
    const float* up = gate + inner;
    float* to = out + row * inner;
#pragma omp simd
    for (std::int64_t i = 0; i < inner; ++i) to[i] = gate[i] * sigmoid(gate[i]) * up[i];
  }
}

DLM_CLONED void swiglu_backward_rows(const SwigluBackward& of, std::int64_t rows,
                                     std::int64_t inner) {
  for (std::int64_t row = 0; row < rows; ++row) {
    const float* gate = of.gate_up + 2 * row * inner;
    const float* up = gate + inner;
    const float* d = of.d_out + row * inner;
    float* d_gate = of.d_gate_up + 2 * row * inner;
    float* d_up = d_gate + inner;
#pragma omp simd
    for (std::int64_t i = 0; i < inner; ++i) {
      const float s = sigmoid(gate[i]);
      d_up[i] = d[i] * gate[i] * s;
      d_gate[i] = d[i] * up[i] * s * (1 + gate[i] * (1 - s));
    }
  }
}

DLM_CLONED double to_law(const LogitRow& row) {
  row.values[row.mask_id] = kNoLogit;
  const ValueRow values = {row.values, row.size, false};
  const double log_sum = log_sum_exp(values);
  double expected = 0;  // logit
#pragma omp simd reduction(+ : expected)
  for (std::int64_t i = 0; i < row.size; ++i) {
    const float logit = row.values[i];
    const float power = (logit - static_cast<float>(log_sum)) * kLog2E;
    const float p = exp2_of(power > 126.0F ? 126.0F : power);
    expected += static_cast<double>(p) * static_cast<double>(logit);
    row.values[i] = p;
  }
  // The mask's share, 2^-126, is no probability.
  row.values[row.mask_id] = 0;
  return expected - log_sum;
}

DLM_CLONED RowDivergence divergence(const LawRow& teacher, const LogitRow& student) {
  student.values[student.mask_id] = kNoLogit;
  RowDivergence out;
  out.log_sum = log_sum_exp({student.values, student.size, false});
  double expected = 0;
#pragma omp simd reduction(+ : expected)
  for (std::int64_t i = 0; i < student.size; ++i)
    expected +=
        static_cast<double>(teacher.probabilities[i]) * static_cast<double>(student.values[i]);
  out.nats = teacher.negative_entropy - expected + out.log_sum;
  out.same_best =
      best_of_row(teacher.probabilities, student.size) == best_of_row(student.values, student.size);
  return out;
}

DLM_CLONED void differentiate_divergence(const LawRow& teacher, const LogitRow& student,
                                         double log_sum, double scale) {
  const auto factor = static_cast<float>(scale);
  exp_scaled({student.values, student.size, false}, static_cast<float>(log_sum), factor);
#pragma omp simd
  for (std::int64_t i = 0; i < student.size; ++i)
    student.values[i] -= factor * teacher.probabilities[i];
  student.values[student.mask_id] = 0;
}

}  // namespace dlm
