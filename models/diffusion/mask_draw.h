// The random parts of an estimate: noise levels, mask counts, masks. Every number is named by
// (seed, example, draw, block, position), so masks do not depend on batch, chunk or thread, and two
// models scored with one seed see the same masks: their difference is a paired one.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "harness/base/random.h"

namespace dlm {

// The positions of a block that may be masked: first .. size - 1. The first token of a sequence,
// where it is given, is the only one that may not be.
struct BlockShape {
  std::int64_t block = 0;
  std::int64_t first = 0;
  std::int64_t size = 0;  // L'

  std::int64_t maskable() const { return size - first; }
};

// The random numbers of one mask draw of one sequence.
class MaskStream {
 public:
  MaskStream(std::uint64_t seed, std::uint64_t example, std::int64_t draw);

  // A uniform of the sequence as a whole, of a block, and of a position in a block. `round` tells
  // repeated draws of one mask apart.
  double of_sequence() const;
  double of_block(std::int64_t block) const;
  double of_position(std::int64_t block, std::int64_t position, std::int64_t round = 0) const;

 private:
  RandomStream stream_;
};

// (u + row blocks + block) / (rows blocks) mod 1: the stratum of (row, block), so that the noise
// levels of a batch of `rows` sequences spread evenly. Source: bd3lms diffusion.py `_sample_t`.
double low_discrepancy_level(double u, std::int64_t row, std::int64_t rows, std::int64_t block,
                             std::int64_t blocks);

// The maskable positions whose uniform is <= p, ascending. Source: bd3lms diffusion.py `q_xt`.
std::vector<std::int64_t> coin_mask(const MaskStream& stream, const BlockShape& shape, double p);

// The maskable positions in a uniformly random order; its first k are a uniform k-subset.
std::vector<std::int64_t> random_order(const MaskStream& stream, const BlockShape& shape);

// What part of a block's tokens may be masked, as `resample` of the published training wants it.
struct MaskedFraction {
  double low = 1e-3;
  double high = 1;
};

// coin_mask with the whole block drawn again, at the same p, until the masked fraction lies in
// `bounds`. As published: the first draw masks at u <= p, later ones at u < p; fractions are
// compared in f32; a lower bound of exactly 1e-3 is not enforced (one of f32(1e-3), as the schedule
// search passes it, is), nor is a higher one of 1; and for a block of one token with low = 1 the
// mask is that token. `uniform(round, position)` gives the numbers; all positions of the block take
// part. Throws ConfigError where no count of masked tokens lies in the bounds, or none came up in
// 100,000 rounds. Source: bd3lms diffusion.py `q_xt`, `_resample_q_xt`.
std::vector<std::int64_t> resampled_mask(
    std::int64_t block_size, double p, const MaskedFraction& bounds,
    const std::function<double(std::int64_t round, std::int64_t position)>& uniform);

}  // namespace dlm
