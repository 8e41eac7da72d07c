#include "models/transformer/panel_kernel.h"

#if defined(__x86_64__)
#pragma GCC target("avx512f,avx512bw,avx512dq,avx512vl,fma")
#endif

#include "models/transformer/panel_finish.h"

namespace dlm {
namespace {

using panel::finish;
using panel::kAhead;
using panel::least;
using simd::Brain;
using simd::kLanes;
using simd::Vec;

constexpr std::int64_t kFewRows = 12;   // of a register tile two panels wide: 24 sums
constexpr std::int64_t kMostRows = 24;  // of one that is one panel wide

// Rows [row, row + kR) times kN panels; `fetch`: the weights still come from memory.
template <int kR, int kN, bool kFetch>
void multiply_rows(const PanelTask& task, std::int64_t row, std::int64_t panel) {
  const std::int64_t size = task.shape.panel_size();
  const float* w = static_cast<const float*>(task.panels) + panel * size;
  const float* x = static_cast<const float*>(task.x) + row * task.x_stride;
  Vec sums[std::size_t{kR}][std::size_t{kN}] = {};
  for (std::int64_t k = 0; k < task.shape.inputs; ++k) {
    Vec right[std::size_t{kN}];
    for (int n = 0; n < kN; ++n) {
      const float* at = w + n * size + k * kLanes;
      if (kFetch)
        __builtin_prefetch(at + kAhead, 0, 2);
      right[n] = simd::load(at);
    }
    for (int r = 0; r < kR; ++r) {
      const Vec left = simd::splat(x[r * task.x_stride + k]);
      for (int n = 0; n < kN; ++n) sums[r][n] += left * right[n];
    }
  }
  for (int r = 0; r < kR; ++r) {
    for (int n = 0; n < kN; ++n) finish<float>(task, row + r, panel + n, sums[r][n]);
  }
}

using MultiplyRows = void (*)(const PanelTask&, std::int64_t row, std::int64_t panel);

template <bool kFetch>
constexpr MultiplyRows kTwoPanels[kFewRows] = {
    multiply_rows<1, 2, kFetch>,  multiply_rows<2, 2, kFetch>,  multiply_rows<3, 2, kFetch>,
    multiply_rows<4, 2, kFetch>,  multiply_rows<5, 2, kFetch>,  multiply_rows<6, 2, kFetch>,
    multiply_rows<7, 2, kFetch>,  multiply_rows<8, 2, kFetch>,  multiply_rows<9, 2, kFetch>,
    multiply_rows<10, 2, kFetch>, multiply_rows<11, 2, kFetch>, multiply_rows<12, 2, kFetch>};

constexpr MultiplyRows kOnePanel[kMostRows - kFewRows] = {
    multiply_rows<13, 1, true>, multiply_rows<14, 1, true>, multiply_rows<15, 1, true>,
    multiply_rows<16, 1, true>, multiply_rows<17, 1, true>, multiply_rows<18, 1, true>,
    multiply_rows<19, 1, true>, multiply_rows<20, 1, true>, multiply_rows<21, 1, true>,
    multiply_rows<22, 1, true>, multiply_rows<23, 1, true>, multiply_rows<24, 1, true>};

// kSide inputs of an output lie side by side.
template <class T, std::int64_t kSide>
void pack_typed(const PanelShape& shape, const T* weight, std::int64_t panel, T* panels) {
  T* to = panels + panel * shape.panel_size();
  for (std::int64_t i = 0; i < shape.panel_size(); ++i) to[i] = T{};
  const std::int64_t first = panel * kPanelOutputs;
  for (std::int64_t lane = 0; lane < least(kPanelOutputs, shape.outputs - first); ++lane) {
    const T* from = weight + (first + lane) * shape.inputs;
    for (std::int64_t input = 0; input < shape.inputs; ++input)
      to[input / kSide * kSide * kPanelOutputs + lane * kSide + input % kSide] = from[input];
  }
}
}  // namespace

void pack_panel(const PanelShape& shape, const void* weight, std::int64_t panel, void* panels) {
  if (shape.brain)
    pack_typed<Brain, 2>(shape, static_cast<const Brain*>(weight), panel,
                         static_cast<Brain*>(panels));
  else
    pack_typed<float, 1>(shape, static_cast<const float*>(weight), panel,
                         static_cast<float*>(panels));
}

void multiply_panels(const PanelTask& task, std::int64_t begin, std::int64_t end) {
  for (std::int64_t panel = begin; panel < end; panel += 2) {
    if (task.rows > kFewRows && task.rows <= kMostRows) {
      kOnePanel[task.rows - kFewRows - 1](task, 0, panel);
      kOnePanel[task.rows - kFewRows - 1](task, 0, panel + 1);
      continue;
    }
    for (std::int64_t row = 0; row < task.rows; row += kFewRows) {
      const std::int64_t count = least(kFewRows, task.rows - row);
      (row == 0 ? kTwoPanels<true> : kTwoPanels<false>)[count - 1](task, row, panel);
    }
  }
}

}  // namespace dlm
