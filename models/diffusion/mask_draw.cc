#include "models/diffusion/mask_draw.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "harness/base/error.h"

namespace dlm {
namespace {

// Steps and positions beyond any that a block has.
constexpr std::uint64_t kSequenceStep = std::uint64_t{1} << 60U;
constexpr std::uint64_t kBlockPosition = std::uint64_t{1} << 60U;
constexpr std::int64_t kMostRounds = 100'000;

bool is_within(std::int64_t masked, std::int64_t block_size, const MaskedFraction& bounds) {
  const float fraction = static_cast<float>(masked) / static_cast<float>(block_size);
  const bool is_low_free = bounds.low == 1e-3;
  const bool is_high_free = bounds.high == 1;
  return (is_low_free || fraction >= static_cast<float>(bounds.low)) &&
         (is_high_free || fraction <= static_cast<float>(bounds.high));
}

void check_reachable(std::int64_t block_size, const MaskedFraction& bounds) {
  for (std::int64_t masked = 0; masked <= block_size; ++masked) {
    if (is_within(masked, block_size, bounds))
      return;
  }
  throw ConfigError("masked fraction", fmt::format("[{}, {}]", bounds.low, bounds.high),
                    fmt::format("an interval that holds some k / {}", block_size));
}

}  // namespace

MaskStream::MaskStream(std::uint64_t seed, std::uint64_t example, std::int64_t draw)
    : stream_(seed, Purpose::kMaskDraw, example, static_cast<std::uint64_t>(draw)) {}

double MaskStream::of_sequence() const {
  return stream_.uniform(kSequenceStep, 0);
}

double MaskStream::of_block(std::int64_t block) const {
  return stream_.uniform(static_cast<std::uint64_t>(block), kBlockPosition);
}

double MaskStream::of_position(std::int64_t block, std::int64_t position,
                               std::int64_t round) const {
  const std::uint64_t place =
      (static_cast<std::uint64_t>(round) << 32U) | static_cast<std::uint64_t>(position);
  return stream_.uniform(static_cast<std::uint64_t>(block), place);
}

double low_discrepancy_level(double u, std::int64_t row, std::int64_t rows, std::int64_t block,
                             std::int64_t blocks) {
  const auto cells = static_cast<double>(rows * blocks);
  return std::fmod((u + static_cast<double>(row * blocks + block)) / cells, 1.0);
}

std::vector<std::int64_t> coin_mask(const MaskStream& stream, const BlockShape& shape, double p) {
  std::vector<std::int64_t> masked;
  for (std::int64_t i = shape.first; i < shape.size; ++i) {
    if (stream.of_position(shape.block, i) <= p)
      masked.push_back(i);
  }
  return masked;
}

std::vector<std::int64_t> random_order(const MaskStream& stream, const BlockShape& shape) {
  std::vector<std::pair<double, std::int64_t>> keyed;
  for (std::int64_t i = shape.first; i < shape.size; ++i)
    keyed.emplace_back(stream.of_position(shape.block, i), i);
  std::sort(keyed.begin(), keyed.end());
  std::vector<std::int64_t> order;
  for (const auto& [key, position] : keyed) order.push_back(position);
  return order;
}

std::vector<std::int64_t> resampled_mask(
    std::int64_t block_size, double p, const MaskedFraction& bounds,
    const std::function<double(std::int64_t round, std::int64_t position)>& uniform) {
  if (block_size == 1 && bounds.low == 1)
    return {0};
  check_reachable(block_size, bounds);
  for (std::int64_t round = 0; round < kMostRounds; ++round) {
    std::vector<std::int64_t> masked;
    for (std::int64_t i = 0; i < block_size; ++i) {
      const double u = uniform(round, i);
      if (u < p || (round == 0 && u == p))
        masked.push_back(i);
    }
    if (is_within(std::ssize(masked), block_size, bounds))
      return masked;
  }
  throw ConfigError("masked fraction", fmt::format("[{}, {}]", bounds.low, bounds.high),
                    fmt::format("reached within {} masks at probability {}", kMostRounds, p));
}

}  // namespace dlm
