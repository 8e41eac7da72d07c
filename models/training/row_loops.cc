#include "models/training/row_loops.h"

#include <algorithm>
#include <cmath>

#include "models/training/clones.h"
#include "models/training/loop_scalars.h"

namespace dlm {
namespace {

constexpr float kEpsilon = 1e-5F;
constexpr float kLog2E = 1.44269504F;
constexpr float kGeluScale = 0.79788456F;  // sqrt(2 / pi)
constexpr float kGeluCubic = 0.044715F;

DLM_INLINE float exp2_held(float x) {
  return exp2_of(x > 127.0F ? 127.0F : x);
}

DLM_INLINE float tanh_of(float z) {
  const float e = exp2_held(std::fabs(z) * (-2 * kLog2E));
  return std::copysign((1 - e) / (1 + e), z);
}

template <class T>
DLM_INLINE void write_norm_row(const NormLoop& loop, std::int64_t row) {
  const std::int64_t width = loop.width;
  const float* x = loop.x + row * width;
  const float mean = loop.stats[2 * row];
  const float inverse = loop.stats[2 * row + 1];
  T* h = static_cast<T*>(loop.h) + row * width;
  if (loop.bias == nullptr) {
#pragma omp simd
    for (std::int64_t i = 0; i < width; ++i) put(h[i], (x[i] - mean) * inverse * loop.weight[i]);
    return;
  }
#pragma omp simd
  for (std::int64_t i = 0; i < width; ++i)
    put(h[i], (x[i] - mean) * inverse * loop.weight[i] + loop.bias[i]);
}

DLM_INLINE void take_stats(const NormLoop& loop, std::int64_t row) {
  const float* x = loop.x + row * loop.width;
  const auto count = static_cast<float>(loop.width);
  float sum = 0;
#pragma omp simd reduction(+ : sum)
  for (std::int64_t i = 0; i < loop.width; ++i) sum += x[i];
  const float mean = sum / count;
  float square = 0;
#pragma omp simd reduction(+ : square)
  for (std::int64_t i = 0; i < loop.width; ++i) square += (x[i] - mean) * (x[i] - mean);
  loop.stats[2 * row] = mean;
  loop.stats[2 * row + 1] = 1 / std::sqrt(square / count + kEpsilon);
}

template <class T>
DLM_INLINE void norm_backward_row(const NormLoop& loop, std::int64_t row, float* dx, float* sums) {
  const std::int64_t width = loop.width;
  const float* x = loop.x + row * width;
  const T* dh = static_cast<const T*>(loop.h) + row * width;
  const float mean = loop.stats[2 * row];
  const float inverse = loop.stats[2 * row + 1];
  float* along = sums;
  float* plain = sums + width;
  float first = 0;
  float second = 0;
#pragma omp simd reduction(+ : first, second)
  for (std::int64_t i = 0; i < width; ++i) {
    const float d = wide(dh[i]);
    const float normal = (x[i] - mean) * inverse;
    along[i] += d * normal;
    plain[i] += d;
    first += d * loop.weight[i];
    second += d * loop.weight[i] * normal;
  }
  first /= static_cast<float>(width);
  second /= static_cast<float>(width);
  float* to = dx + row * width;
#pragma omp simd
  for (std::int64_t i = 0; i < width; ++i) {
    const float normal = (x[i] - mean) * inverse;
    to[i] += inverse * (wide(dh[i]) * loop.weight[i] - first - normal * second);
  }
}

template <class T>
DLM_INLINE void gelu_typed(const T* u, T* a, std::int64_t count) {
#pragma omp simd
  for (std::int64_t i = 0; i < count; ++i) {
    const float x = wide(u[i]);
    const float t = tanh_of(kGeluScale * (x + kGeluCubic * x * x * x));
    put(a[i], 0.5F * x * (1 + t));
  }
}

template <class T>
DLM_INLINE void gelu_backward_typed(const T* u, T* a, T* da, std::int64_t count) {
#pragma omp simd
  for (std::int64_t i = 0; i < count; ++i) {
    const float x = wide(u[i]);
    const float t = tanh_of(kGeluScale * (x + kGeluCubic * x * x * x));
    const float inner = kGeluScale * (1 + 3 * kGeluCubic * x * x);
    put(a[i], 0.5F * x * (1 + t));
    put(da[i], wide(da[i]) * (0.5F * (1 + t) + 0.5F * x * (1 - t * t) * inner));
  }
}

// What an output is multiplied by on its way: `kept` 0 or 1.
template <class T, bool kGated, bool kDrops>
DLM_INLINE void gate_typed(const GateLoop& loop, const RowRun& rows, float* out) {
  const std::int64_t width = loop.width;
  for (std::int64_t row = rows.begin; row < rows.end; ++row) {
    const float* x = loop.x + row * width;
    const T* y = static_cast<const T*>(loop.y) + row * width;
    const std::uint8_t* keep = kDrops ? loop.keep + row * loop.keep_stride : nullptr;
    float* to = out + row * width;
#pragma omp simd
    for (std::int64_t i = 0; i < width; ++i) {
      float value = wide(y[i]);
      if (kDrops)
        value *= static_cast<float>(keep[i]) * loop.kept_scale;
      if (kGated)
        value *= loop.gate[i];
      to[i] = x[i] + value;
    }
  }
}

template <class T, bool kGated, bool kDrops>
DLM_INLINE void gate_backward_typed(const GateLoop& loop, const RowRun& rows,
                                    const GateBackwardLoop& backward) {
  const std::int64_t width = loop.width;
  for (std::int64_t row = rows.begin; row < rows.end; ++row) {
    const float* from = backward.d_out + row * width;
    const T* y = static_cast<const T*>(loop.y) + row * width;
    const std::uint8_t* keep = kDrops ? loop.keep + row * loop.keep_stride : nullptr;
    T* to = static_cast<T*>(backward.d_y) + row * width;
    float* sums = backward.sums;
#pragma omp simd
    for (std::int64_t i = 0; i < width; ++i) {
      float d = from[i];
      if (kDrops)
        d *= static_cast<float>(keep[i]) * loop.kept_scale;
      if (kGated) {
        sums[i] += d * wide(y[i]);
        d *= loop.gate[i];
      }
      put(to[i], d);
    }
  }
}

template <class T>
DLM_INLINE void gate_forms(const GateLoop& loop, const RowRun& rows, float* out) {
  if (loop.gate != nullptr) {
    loop.keep != nullptr ? gate_typed<T, true, true>(loop, rows, out)
                         : gate_typed<T, true, false>(loop, rows, out);
  } else {
    loop.keep != nullptr ? gate_typed<T, false, true>(loop, rows, out)
                         : gate_typed<T, false, false>(loop, rows, out);
  }
}

template <class T>
DLM_INLINE void gate_backward_forms(const GateLoop& loop, const RowRun& rows,
                                    const GateBackwardLoop& d) {
  if (loop.gate != nullptr) {
    loop.keep != nullptr ? gate_backward_typed<T, true, true>(loop, rows, d)
                         : gate_backward_typed<T, true, false>(loop, rows, d);
  } else {
    loop.keep != nullptr ? gate_backward_typed<T, false, true>(loop, rows, d)
                         : gate_backward_typed<T, false, false>(loop, rows, d);
  }
}

constexpr std::int64_t kPiece = 4096;  // values whose f32 sum is then added in f64

template <class T>
DLM_INLINE double log_sum_typed(const T* values, std::int64_t count) {
  float top = -3e38F;
#pragma omp simd reduction(max : top)
  for (std::int64_t i = 0; i < count; ++i) top = std::max(top, wide(values[i]));
  double total = 0;
  for (std::int64_t begin = 0; begin < count; begin += kPiece) {
    const std::int64_t end = std::min(count, begin + kPiece);
    float sum = 0;
#pragma omp simd reduction(+ : sum)
    for (std::int64_t i = begin; i < end; ++i) sum += exp2_held((wide(values[i]) - top) * kLog2E);
    total += static_cast<double>(sum);
  }
  return std::log(total) + static_cast<double>(top);
}

template <class T>
DLM_INLINE void exp_scaled_typed(T* values, std::int64_t count, float shift, float factor) {
#pragma omp simd
  for (std::int64_t i = 0; i < count; ++i)
    put(values[i], factor * exp2_held((wide(values[i]) - shift) * kLog2E));
}

constexpr std::int64_t kLanes = 16;

DLM_INLINE void multiply_high_low(const std::uint32_t* a, std::uint32_t factor, std::uint32_t* high,
                                  std::uint32_t* low) {
#pragma omp simd
  for (std::int64_t i = 0; i < kLanes; ++i) {
    high[i] = static_cast<std::uint32_t>((std::uint64_t{a[i]} * factor) >> 32U);
    low[i] = a[i] * factor;
  }
}

}  // namespace

DLM_CLONED void norm_rows(const NormLoop& loop, const RowRun& rows) {
  for (std::int64_t row = rows.begin; row < rows.end; ++row) {
    take_stats(loop, row);
    loop.brain ? write_norm_row<Brain>(loop, row) : write_norm_row<float>(loop, row);
  }
}

DLM_CLONED void norm_rows_again(const NormLoop& loop, const RowRun& rows) {
  for (std::int64_t row = rows.begin; row < rows.end; ++row)
    loop.brain ? write_norm_row<Brain>(loop, row) : write_norm_row<float>(loop, row);
}

DLM_CLONED void norm_backward_rows(const NormLoop& loop, const RowRun& rows, float* dx,
                                   float* sums) {
  for (std::int64_t row = rows.begin; row < rows.end; ++row) {
    loop.brain ? norm_backward_row<Brain>(loop, row, dx, sums)
               : norm_backward_row<float>(loop, row, dx, sums);
  }
}

DLM_CLONED void gelu_values(const void* u, void* a, std::int64_t count, bool brain) {
  if (brain)
    gelu_typed(static_cast<const Brain*>(u), static_cast<Brain*>(a), count);
  else
    gelu_typed(static_cast<const float*>(u), static_cast<float*>(a), count);
}

DLM_CLONED void gelu_backward_values(const void* u, void* a, void* da, std::int64_t count,
                                     bool brain) {
  if (brain) {
    gelu_backward_typed(static_cast<const Brain*>(u), static_cast<Brain*>(a),
                        static_cast<Brain*>(da), count);
  } else {
    gelu_backward_typed(static_cast<const float*>(u), static_cast<float*>(a),
                        static_cast<float*>(da), count);
  }
}

DLM_CLONED void gate_rows(const GateLoop& loop, const RowRun& rows, float* out) {
  if (loop.brain)
    gate_forms<Brain>(loop, rows, out);
  else
    gate_forms<float>(loop, rows, out);
}

DLM_CLONED void gate_backward_rows(const GateLoop& loop, const RowRun& rows,
                                   const GateBackwardLoop& d) {
  if (loop.brain)
    gate_backward_forms<Brain>(loop, rows, d);
  else
    gate_backward_forms<float>(loop, rows, d);
}

DLM_CLONED void draw_keep(const KeepDraw& draw, std::uint8_t* keep, std::int64_t width) {
  for (std::int64_t first = 0; first < width; first += kKeepStep) {
    std::uint32_t c[4][kLanes];
    for (std::int64_t lane = 0; lane < kLanes; ++lane) {
      c[0][lane] = static_cast<std::uint32_t>(first / kKeepStep);
      c[1][lane] = static_cast<std::uint32_t>(lane);
      c[2][lane] = draw.position;
      c[3][lane] = 0;
    }
    std::uint32_t key0 = draw.key[0];
    std::uint32_t key1 = draw.key[1];
    for (int round = 0; round < 10; ++round) {
      std::uint32_t high0[kLanes], low0[kLanes], high1[kLanes], low1[kLanes];
      multiply_high_low(c[0], 0xD2511F53U, high0, low0);
      multiply_high_low(c[2], 0xCD9E8D57U, high1, low1);
#pragma omp simd
      for (std::int64_t lane = 0; lane < kLanes; ++lane) {
        c[0][lane] = high1[lane] ^ c[1][lane] ^ key0;
        c[1][lane] = low1[lane];
        c[2][lane] = high0[lane] ^ c[3][lane] ^ key1;
        c[3][lane] = low0[lane];
      }
      key0 += 0x9E3779B9U;
      key1 += 0xBB67AE85U;
    }
    for (std::int64_t word = 0; word < 4; ++word) {
      std::uint8_t* to = keep + first + word * 2 * kLanes;
#pragma omp simd
      for (std::int64_t lane = 0; lane < kLanes; ++lane) {
        to[lane] = (c[word][lane] & 0xFFFFU) >= draw.threshold ? 1 : 0;
        to[kLanes + lane] = (c[word][lane] >> 16U) >= draw.threshold ? 1 : 0;
      }
    }
  }
}

DLM_CLONED double log_sum_exp(const ValueRow& row) {
  return row.brain ? log_sum_typed(static_cast<const Brain*>(row.data), row.count)
                   : log_sum_typed(static_cast<const float*>(row.data), row.count);
}

DLM_CLONED void exp_scaled(const ValueRow& row, float shift, float factor) {
  if (row.brain)
    exp_scaled_typed(static_cast<Brain*>(row.data), row.count, shift, factor);
  else
    exp_scaled_typed(static_cast<float*>(row.data), row.count, shift, factor);
}

DLM_CLONED void add_values(float* to, const float* from, std::int64_t count) {
#pragma omp simd
  for (std::int64_t i = 0; i < count; ++i) to[i] += from[i];
}

}  // namespace dlm
