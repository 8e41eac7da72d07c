// The loops of panel_kernel.h on the matrix unit.
#include "models/transformer/panel_kernel.h"

#if defined(__x86_64__)
#include <immintrin.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

namespace dlm {

bool matrix_unit_works() {
#if defined(__x86_64__) && defined(__linux__)
  static const bool works = [] {
    constexpr long kRequestPermission = 0x1023;  // ARCH_REQ_XCOMP_PERM
    constexpr long kTileData = 18;               // XFEATURE_XTILEDATA
    return __builtin_cpu_supports("amx-tile") && __builtin_cpu_supports("amx-bf16") &&
           __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") &&
           syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
  }();
  return works;
#else
  return false;
#endif
}

}  // namespace dlm

#if defined(__x86_64__)
#pragma GCC target("avx512f,avx512bw,avx512dq,avx512vl,fma,amx-tile,amx-bf16")
#endif

#include "models/transformer/panel_finish.h"

namespace dlm {
namespace {

using panel::as;
using panel::finish;
using panel::kAhead;
using panel::least;
using simd::Brain;
using simd::kLanes;
using simd::Vec;
using simd::VecBrain;
using simd::VecWord;

// Two bf16 of one output side by side: the upper halves of a and b.
DLM_KERNEL_INLINE VecWord paired(Vec a, Vec b) {
  return as<VecWord>(a) >> 16 | (as<VecWord>(b) & 0xFFFF0000U);
}

DLM_KERNEL_INLINE Vec upper_half(Vec value) {
  return as<Vec>(as<VecWord>(value) & 0xFFFF0000U);
}

// To the nearest bf16.
DLM_KERNEL_INLINE Vec nearest_brain(Vec value) {
  VecWord word = as<VecWord>(value);
  word += 0x7FFFU + ((word >> 16) & 1U);
  return as<Vec>(word & 0xFFFF0000U);
}

DLM_KERNEL_INLINE void store_upper(std::uint16_t* to, Vec value) {
  const VecBrain half = __builtin_convertvector(as<VecWord>(value) >> 16, VecBrain);
  std::memcpy(to, &half, sizeof half);
}

// Up to 16 inputs of a row, 0 beyond its end.
template <class T>
DLM_KERNEL_INLINE Vec load_inputs(const PanelTask& task, std::int64_t row, std::int64_t input) {
  const T* x = static_cast<const T*>(task.x) + row * task.x_stride + input;
  if (input + kLanes <= task.shape.inputs)
    return simd::load(x);
  T lanes[kLanes] = {};
  for (std::int64_t i = 0; input + i < task.shape.inputs; ++i) lanes[i] = x[i];
  return simd::load(lanes);
}

constexpr std::int64_t kTile = kTileRows * kPanelStep;  // elements of an operand

constexpr std::int64_t parts_of(bool brain) {
  return brain ? 1 : 3;
}

}  // namespace

std::int64_t matrix_parts(const PanelTask& task) {
  const std::int64_t tiles = (task.rows + kTileRows - 1) / kTileRows;
  return tiles * task.shape.steps() * parts_of(task.shape.brain) * kTile;
}

void split_row(const PanelTask& task, std::int64_t row, std::uint16_t* parts) {
  const std::int64_t count = parts_of(task.shape.brain);
  std::uint16_t* to =
      parts + row / kTileRows * task.shape.steps() * count * kTile + row % kTileRows * kPanelStep;
  for (std::int64_t input = 0; input < task.shape.steps() * kPanelStep; input += kLanes) {
    std::uint16_t* at = to + input / kPanelStep * count * kTile + input % kPanelStep;
    if (row >= task.rows) {
      for (std::int64_t part = 0; part < count; ++part) store_upper(at + part * kTile, Vec{});
      continue;
    }
    if (task.shape.brain) {
      store_upper(at, load_inputs<Brain>(task, row, input));
      continue;
    }
    const Vec value = load_inputs<float>(task, row, input);
    const Vec high = nearest_brain(value);
    const Vec middle = nearest_brain(value - high);
    store_upper(at, high);
    store_upper(at + kTile, middle);
    store_upper(at + 2 * kTile, nearest_brain(value - high - middle));
  }
}

#if defined(__x86_64__)
namespace {

constexpr std::int64_t kChunkTiles = 16;  // of rows whose parts stay in a core's cache
constexpr std::int64_t kStretch = 24;     // steps whose weights do
constexpr std::int64_t kStepWeights = kPanelStep * kPanelOutputs;
constexpr std::int64_t kWide = 2 * kPanelOutputs;

// The tile instructions are opaque to the compiler: what they read must have been written.
DLM_KERNEL_INLINE void before_tiles_read(const void* memory) {
  asm volatile("" : : "r"(memory) : "memory");
}

struct TileConfig {
  std::uint8_t palette = 1;
  std::uint8_t start = 0;
  std::uint8_t reserved[14] = {};
  std::uint16_t bytes_per_row[16] = {};
  std::uint8_t rows[16] = {};
};

// Tiles 0 to 3 sums, 4 and 5 rows, 6 and 7 weights.
void configure_tiles() {
  TileConfig config;
  for (int tile = 0; tile < 8; ++tile) {
    config.bytes_per_row[tile] = 64;
    config.rows[tile] = kTileRows;
  }
  before_tiles_read(&config);
  _tile_loadconfig(&config);
}

// A step of one f32 panel -> its three parts, each [16 pairs][16][2], those of the two panels of
// a pair side by side.
DLM_KERNEL_INLINE void split_weights(const float* from, std::uint16_t* to) {
  for (std::int64_t pair = 0; pair < kPanelStep / 2; ++pair) {
    const float* at = from + pair * 2 * kLanes;
    const Vec a = simd::load(at), b = simd::load(at + kLanes);
    const Vec a_high = upper_half(a), b_high = upper_half(b);
    const Vec a_rest = a - a_high, b_rest = b - b_high;
    const Vec a_middle = upper_half(a_rest), b_middle = upper_half(b_rest);
    const auto put = [&](std::int64_t part, VecWord value) {
      std::memcpy(to + part * kStepWeights + pair * 2 * kLanes, &value, sizeof value);
    };
    put(0, paired(a_high, b_high));
    put(1, paired(a_middle, b_middle));
    put(2, paired(a_rest - a_middle, b_rest - b_middle));
  }
}

// Where a step's weights lie: parts of two panels.
struct StepWeights {
  const std::uint16_t* first;
  const std::uint16_t* second;
};

template <bool kTwo>
DLM_KERNEL_INLINE void load_rows(const std::uint16_t* rows, std::int64_t tile_stride) {
  _tile_loadd(4, rows, 64);
  if (kTwo)
    _tile_loadd(5, rows + tile_stride, 64);
}

DLM_KERNEL_INLINE void load_weights(const StepWeights& weights, std::int64_t part) {
  _tile_loadd(6, weights.first + part * kStepWeights, 64);
  _tile_loadd(7, weights.second + part * kStepWeights, 64);
}

template <bool kTwo>
DLM_KERNEL_INLINE void multiply_tiles() {
  _tile_dpbf16ps(0, 4, 6);
  _tile_dpbf16ps(1, 4, 7);
  if (kTwo) {
    _tile_dpbf16ps(2, 5, 6);
    _tile_dpbf16ps(3, 5, 7);
  }
}

// One step of f32: high x low, high x middle, middle x middle, middle x high, low x high, high x
// high, rows first.
template <bool kTwo>
DLM_KERNEL_INLINE void multiply_step(const std::uint16_t* rows, std::int64_t tile_stride,
                                     const StepWeights& weights) {
  load_rows<kTwo>(rows, tile_stride);
  load_weights(weights, 2);
  multiply_tiles<kTwo>();
  load_weights(weights, 1);
  multiply_tiles<kTwo>();
  load_rows<kTwo>(rows + kTile, tile_stride);
  multiply_tiles<kTwo>();
  load_weights(weights, 0);
  multiply_tiles<kTwo>();
  load_rows<kTwo>(rows + 2 * kTile, tile_stride);
  multiply_tiles<kTwo>();
  load_rows<kTwo>(rows, tile_stride);
  multiply_tiles<kTwo>();
}

// Sums of up to 32 rows and two panels, loaded from or stored to `sums`, `stride` floats a row.
template <bool kTwo>
DLM_KERNEL_INLINE void load_sums(const float* sums, std::int64_t stride) {
  if (sums == nullptr) {
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
    return;
  }
  const std::int64_t bytes = stride * 4;
  _tile_loadd(0, sums, bytes);
  _tile_loadd(1, sums + kLanes, bytes);
  if (kTwo) {
    _tile_loadd(2, sums + kTileRows * stride, bytes);
    _tile_loadd(3, sums + kTileRows * stride + kLanes, bytes);
  }
}

template <bool kTwo>
DLM_KERNEL_INLINE void store_sums(float* sums, std::int64_t stride) {
  const std::int64_t bytes = stride * 4;
  _tile_stored(0, sums, bytes);
  _tile_stored(1, sums + kLanes, bytes);
  if (kTwo) {
    _tile_stored(2, sums + kTileRows * stride, bytes);
    _tile_stored(3, sums + kTileRows * stride + kLanes, bytes);
  }
}

// A stretch of inputs of a pair of panels.
struct Stretch {
  std::int64_t panel = 0;
  std::int64_t step = 0;
  std::int64_t steps = 0;
};

class MatrixLoop {
 public:
  MatrixLoop(const PanelTask& task, const MatrixScratch& scratch)
      : task_(task),
        scratch_(scratch),
        tiles_((task.rows + kTileRows - 1) / kTileRows),
        parts_(parts_of(task.shape.brain)),
        sums_stride_(task.shape.panels() * kLanes) {}

  // Every stretch of the inputs for each pair of panels, for rows that stay in cache.
  void run(std::int64_t begin, std::int64_t end) {
    for (std::int64_t tile = 0; tile < tiles_; tile += kChunkTiles) {
      const std::int64_t last = least(tile + kChunkTiles, tiles_);
      for (std::int64_t step = 0; step < task_.shape.steps(); step += kStretch) {
        const std::int64_t steps = least(kStretch, task_.shape.steps() - step);
        for (std::int64_t panel = begin; panel < end; panel += 2)
          stretch({panel, step, steps}, tile, last);
      }
    }
  }

 private:
  void stretch(const Stretch& part, std::int64_t tile, std::int64_t last) {
    if (!task_.shape.brain)
      split(part);
    for (; tile < last; tile += 2) {
      if (tile + 1 < last)
        multiply<true>(part, tile);
      else
        multiply<false>(part, tile);
    }
  }

  void split(const Stretch& part) {
    const std::int64_t size = task_.shape.panel_size();
    const float* from =
        static_cast<const float*>(task_.panels) + part.panel * size + part.step * kStepWeights;
    for (std::int64_t step = 0; step < part.steps; ++step) {
      for (std::int64_t n = 0; n < 2; ++n) {
        const float* at = from + n * size + step * kStepWeights;
        for (std::int64_t line = 0; line < kStepWeights; line += kLanes)
          __builtin_prefetch(at + kAhead + line, 0, 2);
        split_weights(at, weights_ + (2 * step + n) * 3 * kStepWeights);
      }
    }
    before_tiles_read(weights_);
  }

  template <bool kTwo>
  void multiply(const Stretch& part, std::int64_t tile) {
    const std::int64_t tile_stride = task_.shape.steps() * parts_ * kTile;
    const std::uint16_t* rows = scratch_.parts + tile * tile_stride + part.step * parts_ * kTile;
    float* kept = scratch_.sums + tile * kTileRows * sums_stride_ + part.panel * kLanes;
    load_sums<kTwo>(part.step == 0 ? nullptr : kept, sums_stride_);
    if (task_.shape.brain)
      multiply_brain<kTwo>(part, rows, tile_stride);
    else
      multiply_split<kTwo>(part, rows, tile_stride);
    if (part.step + part.steps < task_.shape.steps()) {
      store_sums<kTwo>(kept, sums_stride_);
      return;
    }
    alignas(64) float sums[kTileRows * 2 * kWide];
    before_tiles_read(sums);
    store_sums<kTwo>(sums, kWide);
    const std::int64_t count = least(kTileRows * (kTwo ? 2 : 1), task_.rows - tile * kTileRows);
    for (std::int64_t row = 0; row < count; ++row) {
      for (std::int64_t n = 0; n < 2; ++n) {
        const Vec value = simd::load(sums + row * kWide + n * kLanes);
        if (task_.shape.brain)
          finish<Brain>(task_, tile * kTileRows + row, part.panel + n, value);
        else
          finish<float>(task_, tile * kTileRows + row, part.panel + n, value);
      }
    }
  }

  template <bool kTwo>
  void multiply_split(const Stretch& part, const std::uint16_t* rows, std::int64_t tile_stride) {
    const std::uint16_t* weights = weights_;
    for (std::int64_t step = 0; step < part.steps; ++step) {
      multiply_step<kTwo>(rows, tile_stride, {weights, weights + 3 * kStepWeights});
      rows += 3 * kTile;
      weights += 6 * kStepWeights;
    }
  }

  template <bool kTwo>
  void multiply_brain(const Stretch& part, const std::uint16_t* rows, std::int64_t tile_stride) {
    const std::int64_t size = task_.shape.panel_size();
    const std::uint16_t* weights = static_cast<const std::uint16_t*>(task_.panels) +
                                   part.panel * size + part.step * kStepWeights;
    for (std::int64_t step = 0; step < part.steps; ++step) {
      for (std::int64_t line = 0; line < kStepWeights; line += 2 * kLanes) {
        __builtin_prefetch(weights + 2 * kAhead + line, 0, 2);
        __builtin_prefetch(weights + size + 2 * kAhead + line, 0, 2);
      }
      load_rows<kTwo>(rows, tile_stride);
      load_weights({weights, weights + size}, 0);
      multiply_tiles<kTwo>();
      rows += kTile;
      weights += kStepWeights;
    }
  }

  const PanelTask& task_;
  const MatrixScratch& scratch_;
  std::int64_t tiles_;
  std::int64_t parts_;
  std::int64_t sums_stride_;
  alignas(64) std::uint16_t weights_[kStretch * 6 * kStepWeights];
};

}  // namespace

std::int64_t matrix_sums(const PanelTask& task) {
  if (task.shape.steps() <= kStretch)
    return 0;
  const std::int64_t tiles = (task.rows + kTileRows - 1) / kTileRows;
  return tiles * kTileRows * task.shape.panels() * kLanes;
}

void matrix_panels(const PanelTask& task, const MatrixScratch& scratch, std::int64_t begin,
                   std::int64_t end) {
  configure_tiles();
  MatrixLoop(task, scratch).run(begin, end);
  _tile_release();
}
#else
std::int64_t matrix_sums(const PanelTask&) {
  return 0;
}

void matrix_panels(const PanelTask&, const MatrixScratch&, std::int64_t, std::int64_t) {}
#endif

}  // namespace dlm
