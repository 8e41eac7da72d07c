#include "models/diffusion/reference.h"

#include <cmath>
#include <utility>

#include "harness/base/error.h"
#include "models/diffusion/mask_count.h"
#include "models/diffusion/mask_draw.h"
#include "models/diffusion/noise_schedule.h"
#include "models/diffusion/query_queue.h"

namespace dlm {
namespace {

class ReferenceEstimator : public Estimator {
 public:
  ReferenceEstimator(const EstimatorOptions& options, DenoiserLoss loss)
      : options_(options), schedule_(parse_noise_schedule(options.schedule)), loss_(loss) {}

  void plan(const SequenceShape& shape, const Sink& sink) const override {
    for (std::int64_t draw = 0; draw < options_.draws; ++draw) {
      const MaskStream stream(options_.seed, shape.example, draw);
      for (std::int64_t b = 0; b < shape.blocks(); ++b) plan_block(shape, stream, {draw, b}, sink);
    }
  }

  std::int64_t replicates() const override { return options_.replicates; }

  std::int64_t passes(std::int64_t) const override { return options_.draws; }

 private:
  struct Cell {
    std::int64_t draw = 0;
    std::int64_t block = 0;
  };

  void plan_block(const SequenceShape& shape, const MaskStream& stream, const Cell& cell,
                  const Sink& sink) const {
    const double u = level_of(shape, stream, cell.block);
    const double t = options_.t_min + (options_.t_max - options_.t_min) * u;
    const NoiseLevel level = noise_level(schedule_, t);
    const BlockShape block{cell.block, cell.block == 0 && !shape.is_first_scored ? 1 : 0,
                           shape.block_size};
    WeightedQuery query;
    // A network with that noise knows its levels by t; all others by the share of hidden tokens.
    const double told = schedule_ == NoiseSchedule::kMdlm ? t : level.mask_probability;
    query.query = {shape.sequence, cell.block, coin_mask(stream, block, level.mask_probability),
                   told};
    const std::int64_t group_size = options_.draws / options_.replicates;
    query.weight = weight_of(level) / static_cast<double>(group_size);
    query.replicate = cell.draw / group_size;
    sink(std::move(query));
  }

  double level_of(const SequenceShape& shape, const MaskStream& stream, std::int64_t block) const {
    const double u = stream.of_block(block);
    if (options_.strata == "published") {
      const auto rows = static_cast<std::uint64_t>(options_.rows);
      const auto row = static_cast<std::int64_t>(shape.example % rows);
      return low_discrepancy_level(u, row, options_.rows, block, shape.blocks());
    }
    const double level = low_discrepancy_level(u, 0, 1, block, shape.blocks());
    return std::fmod(level + stream.of_sequence(), 1.0);
  }

  double weight_of(const NoiseLevel& level) const {
    const bool is_one = loss_ == DenoiserLoss::kScoreEntropy ||
                        published_weight(options_.t_min) == LossWeight::kOne;
    return is_one ? 1 : level.weight;
  }

  EstimatorOptions options_;
  NoiseSchedule schedule_;
  DenoiserLoss loss_;
};

std::int64_t blocks_of(const GivenNoise& noise, const std::vector<std::int64_t>& ids,
                       std::int64_t block_size) {
  const std::int64_t length = std::ssize(ids);
  if (std::ssize(noise.masked) != length)
    throw ConfigError("masked", fmt::format("{} flags", noise.masked.size()),
                      fmt::format("{}, one for each token", length));
  if (length % block_size != 0 || std::ssize(noise.t) != length / block_size)
    throw ConfigError("t", fmt::format("{} noise levels", noise.t.size()),
                      fmt::format("one for each block of {} of {} tokens", block_size, length));
  for (const double t : noise.t) {
    if (!(t > 0 && t <= 1))
      throw ConfigError("t", fmt::format("{}", t), "in (0, 1]");
  }
  return length / block_size;
}

}  // namespace

std::unique_ptr<Estimator> make_reference_estimator(const EstimatorOptions& options,
                                                    DenoiserLoss loss) {
  return std::make_unique<ReferenceEstimator>(options, loss);
}

std::vector<std::vector<double>> reference_terms(
    const Denoiser& denoiser, std::span<const std::vector<std::int64_t>> sequences,
    std::span<const GivenNoise> noise, const EstimatorOptions& options) {
  if (noise.size() != sequences.size() || sequences.empty())
    throw ConfigError("noise", fmt::format("of {} sequences", noise.size()),
                      fmt::format("of {}, at least one", sequences.size()));
  const EstimatorOptions resolved = resolved_options(options);
  const std::int64_t block_size =
      resolved.block_size == 0 ? std::ssize(sequences.front()) : resolved.block_size;
  const bool is_one = denoiser.loss() == DenoiserLoss::kScoreEntropy ||
                      published_weight(resolved.t_min) == LossWeight::kOne;
  const auto context = denoiser.encode(sequences, block_size);
  std::vector<std::vector<double>> result;
  for (const auto& ids : sequences) result.emplace_back(ids.size(), 0.0);
  QueryQueue queue(denoiser, *context, resolved.chunk_positions,
                   [&](const WeightedQuery& query, std::span<const double> terms) {
                     auto& row = result[static_cast<std::size_t>(query.query.sequence)];
                     for (std::size_t j = 0; j < terms.size(); ++j) {
                       const std::int64_t place =
                           query.query.block * block_size + query.query.masked[j];
                       row[static_cast<std::size_t>(place)] = query.weight * terms[j];
                     }
                   });
  for (std::size_t s = 0; s < sequences.size(); ++s) {
    const std::int64_t blocks = blocks_of(noise[s], sequences[s], block_size);
    for (std::int64_t b = 0; b < blocks; ++b) {
      const double t = noise[s].t[static_cast<std::size_t>(b)];
      WeightedQuery query;
      query.query = {static_cast<std::int64_t>(s), b, {}, t};
      query.weight = is_one ? 1 : 1 / t;
      for (std::int64_t i = 0; i < block_size; ++i) {
        if (noise[s].masked[static_cast<std::size_t>(b * block_size + i)] != 0)
          query.query.masked.push_back(i);
      }
      queue.add(std::move(query));
    }
  }
  queue.flush();
  return result;
}

}  // namespace dlm
