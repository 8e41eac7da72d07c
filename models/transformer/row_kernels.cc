#include "models/transformer/row_kernels.h"

namespace dlm {

bool vector_kernels_work() {
#if defined(__x86_64__)
  return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
         __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
         __builtin_cpu_supports("fma");
#else
  return false;
#endif
}

}  // namespace dlm

#if defined(__x86_64__)
#pragma GCC target("avx512f,avx512bw,avx512dq,avx512vl,fma")
#endif

#include "models/transformer/simd.h"

namespace dlm {
namespace {

using simd::kLanes;
using simd::Vec;

constexpr float kLog2E = 1.44269504F;

template <class T>
float largest_of(const T* values, std::int64_t count) {
  Vec high = simd::splat(-1e30F);
  std::int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes) high = simd::larger(simd::load(values + i), high);
  float top = simd::largest(high);
  for (; i < count; ++i) {
    const float value = simd::widened(values[i]);
    top = value > top ? value : top;
  }
  return top;
}

// sum of e^(value - top).
template <class T>
float sum_of(const T* values, std::int64_t count, float top) {
  Vec added{};
  std::int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes)
    added += simd::exp2_negative((simd::load(values + i) - top) * kLog2E);
  float total = simd::sum(added);
  if (i < count) {
    float rest[kLanes];
    for (std::int64_t lane = 0; lane < kLanes; ++lane)
      rest[lane] = i + lane < count ? simd::widened(values[i + lane]) - top : -1e30F;
    total += simd::sum(simd::exp2_negative(simd::load(rest) * kLog2E));
  }
  return total;
}

float exp_of(float x) {
  float lanes[kLanes];
  simd::store(lanes, simd::exp2_negative(simd::splat(x * kLog2E)));
  return lanes[0];
}

template <class T>
void add_typed(const T* values, std::int64_t count, LogSum& sum) {
  const float top = largest_of(values, count);
  if (top > sum.top) {
    sum.total *= static_cast<double>(exp_of(sum.top - top));
    sum.top = top;
  }
  sum.total += static_cast<double>(sum_of(values, count, sum.top));
}

template <class T>
void rotate_typed(const RotateTask& task) {
  const std::int64_t half = task.head_dim / 2;
  const T* cos = static_cast<const T*>(task.cos);
  const T* sin = static_cast<const T*>(task.sin);
  for (std::int64_t head = 0; head < task.head_count; ++head) {
    T* low = static_cast<T*>(task.heads) + head * task.head_dim;
    T* high = low + half;
    std::int64_t i = 0;
    for (; i + kLanes <= half; i += kLanes) {
      const Vec a = simd::load(low + i), b = simd::load(high + i);
      const Vec c = simd::load(cos + i), s = simd::load(sin + i);
      simd::store(low + i, a * c - b * s);
      simd::store(high + i, b * c + a * s);
    }
    for (; i < half; ++i) {
      const float a = simd::widened(low[i]), b = simd::widened(high[i]);
      const float c = simd::widened(cos[i]), s = simd::widened(sin[i]);
      simd::narrowed(low + i, a * c - b * s);
      simd::narrowed(high + i, b * c + a * s);
    }
  }
}

}  // namespace

void add_part(const RowPart& part, LogSum& sum) {
  if (part.brain)
    add_typed(static_cast<const simd::Brain*>(part.values), part.count, sum);
  else
    add_typed(static_cast<const float*>(part.values), part.count, sum);
}

void rotate_row(const RotateTask& task) {
  if (task.brain)
    rotate_typed<simd::Brain>(task);
  else
    rotate_typed<float>(task);
}

}  // namespace dlm
