#include "models/diffusion/clipped_schedule.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "harness/base/error.h"
#include "harness/base/stats.h"
#include "models/diffusion/mask_count.h"
#include "models/diffusion/mask_draw.h"
#include "models/diffusion/query_queue.h"

namespace dlm {
namespace {

constexpr double kLowest = 1e-3;

// Sequences numbered through all batches.
struct Batch {
  std::span<const std::vector<std::int64_t>> sequences;
  std::uint64_t first_example = 0;

  std::int64_t rows() const { return std::ssize(sequences); }
};

WeightedQuery query_of(const Batch& batch, std::size_t row, std::int64_t block,
                       const std::pair<NoiseInterval, const ClippedSearchOptions&>& setting) {
  const auto& [interval, options] = setting;
  const std::int64_t size = options.block_size;
  const MaskStream stream(options.seed, batch.first_example + row, 0);
  const std::int64_t blocks = std::ssize(batch.sequences[row]) / size;
  const double u = low_discrepancy_level(stream.of_block(block), static_cast<std::int64_t>(row),
                                         batch.rows(), block, blocks);
  const double t = interval.low + (interval.high - interval.low) * u;
  WeightedQuery query;
  query.query = {static_cast<std::int64_t>(row), block, {}, t};
  query.weight = published_weight(interval.low) == LossWeight::kOne ? 1 : 1 / t;
  if (options.resamples && !(interval.low == kLowest && interval.high == 1)) {
    query.query.masked = resampled_mask(size, t, {interval.low, interval.high},
                                        [&](std::int64_t round, std::int64_t position) {
                                          return stream.of_position(block, position, round);
                                        });
  } else {
    query.query.masked = coin_mask(stream, {block, 0, size}, t);
  }
  if (block == 0 && options.keeps_first_clean)
    std::erase(query.query.masked, 0);
  return query;
}

std::vector<std::vector<double>> losses_of(const Denoiser& denoiser, const Batch& batch,
                                           const NoiseInterval& interval,
                                           const ClippedSearchOptions& options) {
  const auto context = denoiser.encode(batch.sequences, options.block_size);
  std::vector<std::vector<double>> losses;
  for (const auto& ids : batch.sequences) losses.emplace_back(ids.size(), 0.0);
  QueryQueue queue(denoiser, *context, options.chunk_positions,
                   [&](const WeightedQuery& query, std::span<const double> terms) {
                     auto& row = losses[static_cast<std::size_t>(query.query.sequence)];
                     const std::int64_t begin = query.query.block * options.block_size;
                     for (std::size_t j = 0; j < terms.size(); ++j)
                       row[static_cast<std::size_t>(begin + query.query.masked[j])] =
                           query.weight * terms[j];
                   });
  for (std::size_t row = 0; row < batch.sequences.size(); ++row) {
    const std::int64_t blocks = std::ssize(batch.sequences[row]) / options.block_size;
    for (std::int64_t b = 0; b < blocks; ++b)
      queue.add(query_of(batch, row, b, {interval, options}));
  }
  queue.flush();
  return losses;
}

}  // namespace

std::vector<NoiseInterval> candidate_intervals(const IntervalGrid& grid, std::int64_t block_size) {
  if (block_size < 1)
    throw ConfigError("block_size", fmt::to_string(block_size), "an integer >= 1");
  if (!(grid.delta > 0))
    throw ConfigError("delta", fmt::format("{}", grid.delta), "above 0");
  std::vector<NoiseInterval> intervals = {{kLowest, 1}};
  if (block_size == 1) {
    intervals.push_back({1, 1});
    return intervals;
  }
  const auto lowest = static_cast<float>(kLowest);
  for (const double width : grid.widths) {
    if (!(width > 0 && width <= 1))
      throw ConfigError("width", fmt::format("{}", width), "in (0, 1]");
    const auto count = static_cast<std::int64_t>(std::ceil((1 - width + grid.delta) / grid.delta));
    for (std::int64_t i = 0; i < count; ++i) {
      const auto low = static_cast<float>(static_cast<double>(i) * grid.delta);
      const float high = low + static_cast<float>(width);
      intervals.push_back({std::max(low, lowest), std::max(high, lowest)});
    }
  }
  return intervals;
}

bool is_reported_interval(const NoiseInterval& interval, std::int64_t block_size,
                          SingleToken single_token) {
  const bool wants_nll = block_size == 1 && single_token == SingleToken::kNll;
  if (interval.low == kLowest && interval.high == 1)
    return !wants_nll;
  return block_size == 1 && interval.low >= 1;
}

double nelbo_variance(std::span<const std::vector<double>> losses, std::int64_t block_size) {
  std::vector<double> means;
  for (const auto& row : losses) {
    const std::int64_t length = std::ssize(row);
    if (block_size < 1 || length % block_size != 0)
      throw ConfigError("block_size", fmt::to_string(block_size),
                        fmt::format("a divisor of the length {}", length));
    for (auto begin = row.begin(); begin != row.end(); begin += block_size) {
      double sum = 0;
      for (auto value = begin; value != begin + block_size; ++value) sum += *value;
      means.push_back(sum / static_cast<double>(block_size));
    }
  }
  if (means.size() < 2)
    throw ConfigError("batch", fmt::format("{} blocks", means.size()), "at least two blocks");
  const double std_error = mean_estimate(means).std_error.value();
  return std_error * std_error * static_cast<double>(means.size());
}

IntervalVariance interval_variance(const Denoiser& denoiser,
                                   std::span<const std::vector<std::vector<std::int64_t>>> batches,
                                   const NoiseInterval& interval,
                                   const ClippedSearchOptions& options) {
  const auto used = batches.first(std::min(batches.size(), options.max_batches));
  if (used.empty())
    throw ConfigError("batches", "none", "at least one");
  std::vector<double> variances;
  std::uint64_t example = 0;
  for (const auto& sequences : used) {
    variances.push_back(nelbo_variance(losses_of(denoiser, {sequences, example}, interval, options),
                                       options.block_size));
    example += sequences.size();
  }
  const MeanEstimate mean = mean_estimate(variances);
  return {interval, mean.value, mean.std_error};
}

ScheduleSearch search_clipped_schedule(
    const Denoiser& denoiser, std::span<const std::vector<std::vector<std::int64_t>>> batches,
    const ClippedSearchOptions& options) {
  ScheduleSearch search;
  std::vector<double> means;
  for (const NoiseInterval& interval : candidate_intervals(options.grid, options.block_size)) {
    search.intervals.push_back(interval_variance(denoiser, batches, interval, options));
    means.push_back(search.intervals.back().mean);
  }
  search.best = smallest_variance(means);
  return search;
}

std::size_t smallest_variance(std::span<const double> variances) {
  if (variances.empty())
    throw ConfigError("variances", "none", "at least one");
  return static_cast<std::size_t>(std::min_element(variances.begin(), variances.end()) -
                                  variances.begin());
}

}  // namespace dlm
