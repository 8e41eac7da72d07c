#include "models/training/noise_draws.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <numeric>
#include <utility>

#include "harness/base/error.h"
#include "harness/base/random.h"
#include "harness/base/stats.h"
#include "models/diffusion/mask_count.h"
#include "models/diffusion/mask_draw.h"

namespace dlm {
namespace {

constexpr double kLowest = 1e-3;  // the published lower end of the whole interval
constexpr std::int64_t kTrainingDraw = std::int64_t{1} << 40U;  // apart from those of estimators

// Searched intervals have ends in f32, as published.
bool is_lowest(double low) {
  return static_cast<float>(low) <= static_cast<float>(kLowest);
}

bool is_whole(const NoiseInterval& interval) {
  return is_lowest(interval.low) && interval.high == 1;
}

// The chance that k of n tokens are masked, t uniform on the interval.
double count_probability(std::int64_t n, std::int64_t k, const NoiseInterval& interval) {
  const auto a = static_cast<double>(k + 1);
  const auto b = static_cast<double>(n - k + 1);
  if (interval.low < interval.high) {
    const double mass = incomplete_beta(a, b, interval.high) - incomplete_beta(a, b, interval.low);
    return mass / (static_cast<double>(n + 1) * (interval.high - interval.low));
  }
  if (interval.low == 1)
    return k == n ? 1 : 0;
  return std::exp(log_choose(n, k) + static_cast<double>(k) * std::log(interval.low) +
                  static_cast<double>(n - k) * std::log1p(-interval.low));
}

// What k masked of n weigh in the bound: 1 / (k q(k)), as each count's mean has weight 1 / k there.
double bound_weight(std::int64_t n, std::int64_t k, const NoiseInterval& interval) {
  for (std::int64_t other = 1; other <= n; ++other) {
    if (count_probability(n, other, interval) <= 0)
      return std::numeric_limits<double>::quiet_NaN();
  }
  return 1 / (static_cast<double>(k) * count_probability(n, k, interval));
}

class NoiseDrawer {
 public:
  NoiseDrawer(const NoiseRecipe& recipe, const BatchBlocks& batch)
      : recipe_(recipe), batch_(batch) {}

  BlockNoise draw(std::int64_t row, std::int64_t block) {
    const MaskStream stream(recipe_.seed, batch_.first + static_cast<std::uint64_t>(row),
                            kTrainingDraw);
    const BlockShape shape = {block, block == 0 && recipe_.keeps_first_clean ? 1 : 0,
                              batch_.block_size};
    BlockNoise noise;
    noise.row = row;
    noise.block = block;
    if (shape.maskable() == 0)
      return noise;
    if (recipe_.draw == NoiseDraw::kMaskCounts)
      draw_count(stream, shape, noise);
    else
      draw_level(stream, shape, noise);
    return noise;
  }

 private:
  double level(const MaskStream& stream, std::int64_t row, std::int64_t block) {
    const double u = stream.of_block(block);
    if (recipe_.draw == NoiseDraw::kIndependent)
      return u;
    if (recipe_.draw == NoiseDraw::kPublished)
      return low_discrepancy_level(u, row, batch_.rows, block, batch_.blocks);
    const auto example = batch_.first + static_cast<std::uint64_t>(row);
    const auto per_group = static_cast<std::uint64_t>(recipe_.strata_rows);
    const std::vector<std::int64_t>& dealt = strata(example / per_group);
    const std::uint64_t cell = (example % per_group) * static_cast<std::uint64_t>(batch_.blocks) +
                               static_cast<std::uint64_t>(block);
    return (static_cast<double>(dealt[cell]) + u) / static_cast<double>(dealt.size());
  }

  // The strata of a group's blocks: a permutation.
  const std::vector<std::int64_t>& strata(std::uint64_t group) {
    std::vector<std::int64_t>& dealt = strata_[group];
    if (!dealt.empty())
      return dealt;
    const RandomStream stream(recipe_.seed, Purpose::kNoiseStrata, group);
    std::vector<double> keys;
    for (std::int64_t cell = 0; cell < recipe_.strata_rows * batch_.blocks; ++cell)
      keys.push_back(stream.uniform(0, static_cast<std::uint64_t>(cell)));
    dealt.resize(keys.size());
    std::iota(dealt.begin(), dealt.end(), std::int64_t{0});
    std::sort(dealt.begin(), dealt.end(), [&](std::int64_t a, std::int64_t b) {
      return keys[static_cast<std::size_t>(a)] < keys[static_cast<std::size_t>(b)];
    });
    return dealt;
  }

  const MaskCountLaw& law(std::int64_t n) {
    const auto [at, is_new] = laws_.try_emplace(n);
    if (is_new) {
      // The lower end only keeps 1 / t finite, which counts do not need.
      at->second = is_whole(recipe_.interval)
                       ? mask_count_law(n, 0, 1)
                       : mask_count_law(n, recipe_.interval.low, recipe_.interval.high);
    }
    return at->second;
  }

  void draw_count(const MaskStream& stream, const BlockShape& shape, BlockNoise& noise) {
    const MaskCountLaw& counts = law(shape.maskable());
    const std::int64_t k = mask_count_at(counts, level(stream, noise.row, noise.block));
    noise.masked = random_order(stream, shape);
    noise.masked.resize(static_cast<std::size_t>(k));
    std::sort(noise.masked.begin(), noise.masked.end());
    noise.weight = counts.weight[static_cast<std::size_t>(k - 1)];
    const double smallest = *std::min_element(counts.probability.begin(), counts.probability.end());
    noise.bound_weight =
        smallest <= 0
            ? std::numeric_limits<double>::quiet_NaN()
            : 1 / (static_cast<double>(k) * counts.probability[static_cast<std::size_t>(k - 1)]);
  }

  void draw_level(const MaskStream& stream, const BlockShape& shape, BlockNoise& noise) {
    const NoiseInterval& interval = recipe_.interval;
    noise.t = interval.low + (interval.high - interval.low) * level(stream, noise.row, noise.block);
    const bool redraws = recipe_.resamples && !is_whole(interval) && interval.low < 1;
    if (redraws) {
      // From the lowest level on, training allows blocks without a mask. Source: bd3lms
      // diffusion.py q_xt, where the comparison is with a number, not with a tensor in f32.
      const double low = is_lowest(interval.low) ? kLowest : interval.low;
      noise.masked = resampled_mask(shape.size, noise.t, {low, interval.high},
                                    [&](std::int64_t round, std::int64_t position) {
                                      return stream.of_position(shape.block, position, round);
                                    });
      if (shape.first == 1)
        std::erase(noise.masked, 0);
    } else {
      noise.masked = coin_mask(stream, shape, noise.t);
    }
    if (!recipe_.weighs_terms) {
      if (!is_whole(interval))
        noise.bound_weight = std::numeric_limits<double>::quiet_NaN();
      return;
    }
    if (noise.masked.empty())
      return;
    noise.weight = published_weight(interval.low) == LossWeight::kOne ? 1 : 1 / noise.t;
    if (is_whole(interval))
      noise.bound_weight = noise.weight;
    else if (redraws)
      noise.bound_weight = std::numeric_limits<double>::quiet_NaN();
    else
      noise.bound_weight = bound_weight(shape.maskable(), std::ssize(noise.masked), interval);
  }

  const NoiseRecipe& recipe_;
  const BatchBlocks& batch_;
  std::map<std::uint64_t, std::vector<std::int64_t>> strata_;
  std::map<std::int64_t, MaskCountLaw> laws_;
};

}  // namespace

std::vector<BlockNoise> draw_noise(const NoiseRecipe& recipe, const BatchBlocks& batch) {
  NoiseDrawer drawer(recipe, batch);
  std::vector<BlockNoise> all;
  for (std::int64_t row = 0; row < batch.rows; ++row) {
    for (std::int64_t block = 0; block < batch.blocks; ++block)
      all.push_back(drawer.draw(row, block));
  }
  return all;
}

}  // namespace dlm
