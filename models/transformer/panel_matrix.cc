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
#include "models/transformer/matrix_unit.h"
#endif

#include "models/transformer/panel_finish.h"

namespace dlm {
namespace {

using panel::finish;
using panel::kAhead;
using simd::as;
using simd::Brain;
using simd::kLanes;
using simd::least;
using simd::Vec;
using simd::VecBrain;
using simd::VecWord;

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

using simd::before_tiles_read;
using simd::configure_tiles;
using simd::paired;

constexpr std::int64_t kChunkTiles = 16;  // of rows whose parts stay in a core's cache
constexpr std::int64_t kStretch = 24;     // steps whose weights do
constexpr std::int64_t kStepWeights = kPanelStep * kPanelOutputs;
constexpr std::int64_t kWide = 2 * kPanelOutputs;
constexpr std::int64_t kBetween = 4;       // pauses of a step's products
constexpr std::int64_t kSplitAhead = 192;  // weights asked for ahead of their taking apart

// Two inputs of one f32 panel -> their three parts.
DLM_KERNEL_INLINE void split_pair(const float* from, std::uint16_t* to) {
  const Vec a = simd::load(from), b = simd::load(from + kLanes);
  const Vec a_high = upper_half(a), b_high = upper_half(b);
  const Vec a_rest = a - a_high, b_rest = b - b_high;
  const Vec a_middle = upper_half(a_rest), b_middle = upper_half(b_rest);
  const auto put = [&](std::int64_t part, VecWord value) {
    std::memcpy(to + part * kStepWeights, &value, sizeof value);
  };
  put(0, paired(a_high, b_high));
  put(1, paired(a_middle, b_middle));
  put(2, paired(a_rest - a_middle, b_rest - b_middle));
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
// high, rows first. Calls between() kBetween times, for work that runs beside the matrix unit.
template <bool kTwo, class Between>
DLM_KERNEL_INLINE void multiply_step(const std::uint16_t* rows, std::int64_t tile_stride,
                                     const StepWeights& weights, const Between& between) {
  load_rows<kTwo>(rows, tile_stride);
  load_weights(weights, 2);
  multiply_tiles<kTwo>();
  between();
  load_weights(weights, 1);
  multiply_tiles<kTwo>();
  load_rows<kTwo>(rows + kTile, tile_stride);
  multiply_tiles<kTwo>();
  between();
  load_weights(weights, 0);
  multiply_tiles<kTwo>();
  load_rows<kTwo>(rows + 2 * kTile, tile_stride);
  multiply_tiles<kTwo>();
  between();
  load_rows<kTwo>(rows, tile_stride);
  multiply_tiles<kTwo>();
  between();
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

// Takes the weights of a stretch apart, some at a time: between products of the stretch before it,
// which the matrix unit computes meanwhile. Of each step two panels, each [part][16 pairs][16][2].
class Splitter {
 public:
  explicit Splitter(const PanelTask& task) : task_(task) {}

  void start(const Stretch& part, std::uint16_t* to) {
    first_ = static_cast<const float*>(task_.panels) + part.panel * task_.shape.panel_size() +
             part.step * kStepWeights;
    to_ = to;
    at_ = 0;
    end_ = part.steps * kPairs;
  }

  // `count` pairs of inputs of each panel, a power of two up to kPairs; none where all are done.
  DLM_KERNEL_INLINE void split(std::int64_t count) {
    if (at_ == end_)
      return;
    const std::int64_t step = at_ / kPairs, pair = at_ % kPairs;
    for (std::int64_t n = 0; n < 2; ++n) {
      const float* from =
          first_ + n * task_.shape.panel_size() + step * kStepWeights + pair * 2 * kLanes;
      std::uint16_t* to = to_ + (2 * step + n) * 3 * kStepWeights + pair * 2 * kLanes;
      for (std::int64_t i = 0; i < count; ++i) {
        __builtin_prefetch(from + kSplitAhead, 0, 3);
        __builtin_prefetch(from + kSplitAhead + kLanes, 0, 3);
        split_pair(from, to);
        from += 2 * kLanes;
        to += 2 * kLanes;
      }
    }
    at_ += count;
  }

  void finish() {
    while (at_ < end_) split(1);
  }

  static constexpr std::int64_t kPairs = kPanelStep / 2;

 private:
  const PanelTask& task_;
  const float* first_ = nullptr;
  std::uint16_t* to_ = nullptr;
  std::int64_t at_ = 0;
  std::int64_t end_ = 0;
};

class MatrixLoop {
 public:
  MatrixLoop(const PanelTask& task, const MatrixScratch& scratch)
      : task_(task),
        scratch_(scratch),
        tiles_((task.rows + kTileRows - 1) / kTileRows),
        parts_(parts_of(task.shape.brain)),
        sums_stride_(task.shape.panels() * kLanes),
        splitter_(task) {}

  // Every stretch of the inputs for each pair of panels, for rows that stay in cache.
  void run(std::int64_t begin, std::int64_t end) {
    begin_ = begin;
    end_ = end;
    for (std::int64_t tile = 0; begin < end && tile < tiles_; tile += kChunkTiles) {
      const std::int64_t last = least(tile + kChunkTiles, tiles_);
      if (task_.shape.brain)
        run_brain(tile, last);
      else if (tiles_ <= 2)
        run_few();
      else
        run_many(tile, last);
    }
  }

 private:
  // Up to two tiles of rows: sums stay in the unit, a step's weights in the first cache.
  void run_few() {
    const std::int64_t steps = task_.shape.steps();
    const std::int64_t count = (end_ - begin_) / 2 * steps;
    const auto at = [&](std::int64_t i) { return Stretch{begin_ + i / steps * 2, i % steps, 1}; };
    splitter_.start(at(0), weights_);
    splitter_.finish();
    for (std::int64_t i = 0; i < count; ++i) {
      std::uint16_t* const weights = weights_ + i % kRing * 6 * kStepWeights;
      if (i + 1 < count)
        splitter_.start(at(i + 1), weights_ + (i + 1) % kRing * 6 * kStepWeights);
      before_tiles_read(weights);
      if (tiles_ == 2)
        step_few<true>(at(i), weights);
      else
        step_few<false>(at(i), weights);
    }
  }

  template <bool kTwo>
  DLM_KERNEL_INLINE void step_few(const Stretch& part, const std::uint16_t* weights) {
    const std::int64_t tile_stride = task_.shape.steps() * parts_ * kTile;
    if (part.step == 0)
      load_sums<kTwo>(nullptr, 0);
    multiply_step<kTwo>(scratch_.parts + part.step * parts_ * kTile, tile_stride,
                        {weights, weights + 3 * kStepWeights},
                        [&] { splitter_.split(Splitter::kPairs / kBetween); });
    if (part.step + 1 == task_.shape.steps())
      finish_rows<kTwo>(part, 0);
  }

  void run_many(std::int64_t tile, std::int64_t last) {
    const std::int64_t pairs = (end_ - begin_) / 2;
    const std::int64_t stretches = (task_.shape.steps() + kStretch - 1) / kStretch;
    const auto at = [&](std::int64_t i) {
      const std::int64_t step = i / pairs * kStretch;
      return Stretch{begin_ + i % pairs * 2, step, least(kStretch, task_.shape.steps() - step)};
    };
    // So many pairs at a time that the next weights are ready when they are needed.
    std::int64_t share = Splitter::kPairs / kBetween;
    while (share > 1 && share / 2 * kBetween * ((last - tile + 1) / 2) >= Splitter::kPairs)
      share /= 2;
    splitter_.start(at(0), weights_);
    splitter_.finish();
    for (std::int64_t i = 0; i < pairs * stretches; ++i) {
      std::uint16_t* const weights = weights_ + i % 2 * kStretch * 6 * kStepWeights;
      if (i + 1 < pairs * stretches)
        splitter_.start(at(i + 1), weights_ + (i + 1) % 2 * kStretch * 6 * kStepWeights);
      before_tiles_read(weights);
      for (std::int64_t at_tile = tile; at_tile < last; at_tile += 2) {
        if (at_tile + 1 < last)
          multiply_many<true>(at(i), at_tile, weights, share);
        else
          multiply_many<false>(at(i), at_tile, weights, share);
      }
      splitter_.finish();
    }
  }

  template <bool kTwo>
  void multiply_many(const Stretch& part, std::int64_t tile, const std::uint16_t* weights,
                     std::int64_t share) {
    const std::int64_t tile_stride = task_.shape.steps() * parts_ * kTile;
    const std::uint16_t* rows = scratch_.parts + tile * tile_stride + part.step * parts_ * kTile;
    float* kept = scratch_.sums + tile * kTileRows * sums_stride_ + part.panel * kLanes;
    load_sums<kTwo>(part.step == 0 ? nullptr : kept, sums_stride_);
    for (std::int64_t step = 0; step < part.steps; ++step) {
      multiply_step<kTwo>(rows, tile_stride, {weights, weights + 3 * kStepWeights},
                          [&] { splitter_.split(share); });
      rows += 3 * kTile;
      weights += 6 * kStepWeights;
    }
    end_part<kTwo>(part, tile, kept);
  }

  void run_brain(std::int64_t tile, std::int64_t last) {
    for (std::int64_t step = 0; step < task_.shape.steps(); step += kStretch) {
      const std::int64_t steps = least(kStretch, task_.shape.steps() - step);
      for (std::int64_t panel = begin_; panel < end_; panel += 2) {
        for (std::int64_t at = tile; at < last; at += 2) {
          if (at + 1 < last)
            multiply_brain<true>({panel, step, steps}, at);
          else
            multiply_brain<false>({panel, step, steps}, at);
        }
      }
    }
  }

  template <bool kTwo>
  void multiply_brain(const Stretch& part, std::int64_t tile) {
    const std::int64_t tile_stride = task_.shape.steps() * kTile;
    const std::uint16_t* rows = scratch_.parts + tile * tile_stride + part.step * kTile;
    float* kept = scratch_.sums + tile * kTileRows * sums_stride_ + part.panel * kLanes;
    load_sums<kTwo>(part.step == 0 ? nullptr : kept, sums_stride_);
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
    end_part<kTwo>(part, tile, kept);
  }

  template <bool kTwo>
  DLM_KERNEL_INLINE void end_part(const Stretch& part, std::int64_t tile, float* kept) {
    if (part.step + part.steps < task_.shape.steps())
      store_sums<kTwo>(kept, sums_stride_);
    else
      finish_rows<kTwo>(part, tile);
  }

  template <bool kTwo>
  DLM_KERNEL_INLINE void finish_rows(const Stretch& part, std::int64_t tile) {
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

  static constexpr std::int64_t kRing = 2;  // of single steps

  const PanelTask& task_;
  const MatrixScratch& scratch_;
  std::int64_t tiles_;
  std::int64_t parts_;
  std::int64_t sums_stride_;
  Splitter splitter_;
  std::int64_t begin_ = 0, end_ = 0;
  alignas(64) std::uint16_t weights_[2 * kStretch * 6 * kStepWeights];
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
  configure_tiles(least(task.rows, kTileRows), kTileRows);
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
