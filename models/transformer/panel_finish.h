// What the kernel files of panel_kernel.h share. Only they include it, compiled for its
// instructions.
#pragma once

#include "models/transformer/panel_kernel.h"
#include "models/transformer/simd.h"

namespace dlm::panel {

using simd::as;
using simd::kLanes;
using simd::least;
using simd::Vec;

constexpr std::int64_t kAhead = 1024;  // weights asked for ahead of their use: 4 KB

// x sigmoid(z).
DLM_KERNEL_INLINE Vec times_sigmoid(Vec x, Vec z) {
  const Vec e = simd::exp2_negative((z < 0 ? z : -z) * 1.44269504F);
  return x * (z < 0 ? e : simd::splat(1)) / (1 + e);
}

DLM_KERNEL_INLINE Vec activated(Vec x, PanelActivation activation) {
  switch (activation) {
    case PanelActivation::kNone:
      return x;
    case PanelActivation::kGeluTanh:
      // 0.5 x (1 + tanh u) = x sigmoid(2 u)
      return times_sigmoid(x, x * (1 + 0.044715F * x * x) * 1.5957691216F);
    case PanelActivation::kSilu:
      return times_sigmoid(x, x);
  }
  return x;
}

DLM_KERNEL_INLINE Vec combined(Vec value, Vec other, PanelCombine combine) {
  return combine == PanelCombine::kAdd ? value + other : value * other;
}

// The end of 16 outputs of one row.
template <class T>
DLM_KERNEL_INLINE void finish(const PanelTask& task, std::int64_t row, std::int64_t panel,
                              Vec sums) {
  const std::int64_t column = panel * kPanelOutputs;
  const std::int64_t count = least(kLanes, task.shape.outputs - column);
  if (count <= 0)
    return;
  Vec value = activated(sums + simd::load(task.bias + column), task.activation);
  T* to = static_cast<T*>(task.out) + row * task.shape.outputs + column;
  const T* other = static_cast<const T*>(task.other) + row * task.shape.outputs + column;
  if (count == kLanes) {
    if (task.combine != PanelCombine::kNone)
      value = combined(value, simd::load(other), task.combine);
    simd::store(to, value);
    return;
  }
  T lanes[kLanes] = {};
  if (task.combine != PanelCombine::kNone) {
    for (std::int64_t i = 0; i < count; ++i) lanes[i] = other[i];
    value = combined(value, simd::load(lanes), task.combine);
  }
  simd::store(lanes, value);
  for (std::int64_t i = 0; i < count; ++i) to[i] = lanes[i];
}

}  // namespace dlm::panel
