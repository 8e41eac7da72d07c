// The inner loops of panel_linear.h: products of rows with weights that lie in panels of 16
// outputs, [panel][input][16] in f32 and [panel][input / 2][16][2] in bf16, inputs padded with
// zeros to 32 and panels to pairs. Torch-free; callers share the panels out among threads.
//
// f32 has two loops, of which a processor uses one, so that a row's sum never depends on how many
// rows there are. Without a matrix unit: fused multiply-adds, one for each term in input order.
// With one: it multiplies bf16 exactly into f32 sums, so each f32 is taken apart into three bf16
// (8 + 8 + 8 bits, exact) and the six products that reach f32's last bit are summed, small ones
// first. Taking weights apart is done beside the unit's work, so that few rows read them at 93 to
// 97 % of the speed of multiply-adds (measured, one thread: 14.0 and 14.9 GB/s for 1 row, 12.6 and
// 9.5 for 16) and many rows are computed faster (64 rows: 225 and 126 GFLOP/s; 128: 275 and 137).
// Measured on random data, relative error of a sum of 768 terms: 4.9e-7 by multiply-adds, 2.1e-7 by
// the matrix unit. A bf16 product always uses the matrix unit.
#pragma once

#include <cstdint>

namespace dlm {

inline constexpr std::int64_t kPanelOutputs = 16;
inline constexpr std::int64_t kPanelStep = 32;  // inputs of one step of the matrix unit
inline constexpr std::int64_t kTileRows = 16;   // rows of one of its operands

struct PanelShape {
  std::int64_t inputs = 0;
  std::int64_t outputs = 0;
  bool brain = false;  // bf16, else f32

  std::int64_t steps() const { return (inputs + kPanelStep - 1) / kPanelStep; }

  // Even.
  std::int64_t panels() const {
    return (outputs + 2 * kPanelOutputs - 1) / (2 * kPanelOutputs) * 2;
  }

  std::int64_t panel_size() const { return steps() * kPanelStep * kPanelOutputs; }  // elements
};

// True where bf16 products can be computed. The first call asks the system for the matrix unit.
bool matrix_unit_works();

// Writes one panel of `weight` (outputs, inputs), row-major, to `panels`.
void pack_panel(const PanelShape& shape, const void* weight, std::int64_t panel, void* panels);

enum class PanelActivation { kNone, kGeluTanh, kSilu };
enum class PanelCombine { kNone, kAdd, kMultiply };

// out = combine(activation(x W^T + bias), other), row strides in elements.
struct PanelTask {
  PanelShape shape;
  const void* panels = nullptr;
  const float* bias = nullptr;  // of every panel, padded
  const void* x = nullptr;
  std::int64_t rows = 0;
  std::int64_t x_stride = 0;
  PanelActivation activation = PanelActivation::kNone;
  PanelCombine combine = PanelCombine::kNone;
  const void* other = nullptr;  // contiguous, in the weights' dtype as x and out are
  void* out = nullptr;          // contiguous
};

// Panels [begin, end), both even, of an f32 task by multiply-adds.
void multiply_panels(const PanelTask& task, std::int64_t begin, std::int64_t end);

// What the matrix unit needs besides: the rows' parts, and sums between stretches of inputs.
struct MatrixScratch {
  std::uint16_t* parts = nullptr;  // matrix_parts() of them, aligned to 64
  float* sums = nullptr;           // matrix_sums() of them
};

std::int64_t matrix_parts(const PanelTask& task);
std::int64_t matrix_sums(const PanelTask& task);

// Takes one row apart; of more than kTileRows, rows up to the next multiple of it too: zeros.
void split_row(const PanelTask& task, std::int64_t row, std::uint16_t* parts);

// Panels [begin, end), both even, by the matrix unit, after every row was taken apart.
void matrix_panels(const PanelTask& task, const MatrixScratch& scratch, std::int64_t begin,
                   std::int64_t end);

}  // namespace dlm
