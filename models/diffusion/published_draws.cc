#include "models/diffusion/published_draws.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "models/diffusion/mask_draw.h"

namespace dlm {
namespace {

// What the two share: groups of draws, block by block.
class GroupedEstimator : public Estimator {
 public:
  explicit GroupedEstimator(const EstimatorOptions& options) : options_(options) {}

  void plan(const SequenceShape& shape, const Sink& sink) const override {
    for (std::int64_t group = 0; group < options_.replicates; ++group) {
      for (std::int64_t b = 0; b < shape.blocks(); ++b) {
        const std::int64_t first = b == 0 && !shape.is_first_scored ? 1 : 0;
        if (first < shape.block_size)
          plan_block(shape, {b, first, shape.block_size}, group, sink);
      }
    }
  }

  std::int64_t replicates() const override { return options_.replicates; }

  std::int64_t passes(std::int64_t) const override { return options_.draws; }

 protected:
  virtual void plan_block(const SequenceShape& shape, const BlockShape& block, std::int64_t group,
                          const Sink& sink) const = 0;

  std::int64_t group_size() const { return options_.draws / options_.replicates; }

  MaskStream stream(const SequenceShape& shape, std::int64_t group, std::int64_t draw) const {
    return {options_.seed, shape.example, group * group_size() + draw};
  }

  void emit(const SequenceShape& shape, std::int64_t group, MaskQuery query, double weight,
            const Sink& sink) const {
    if (query.masked.empty())
      return;
    query.sequence = shape.sequence;
    WeightedQuery weighted;
    weighted.query = std::move(query);
    weighted.weight = weight / static_cast<double>(group_size());
    weighted.replicate = group;
    sink(std::move(weighted));
  }

  EstimatorOptions options_;
};

class LladaEstimator final : public GroupedEstimator {
 public:
  using GroupedEstimator::GroupedEstimator;

 protected:
  void plan_block(const SequenceShape& shape, const BlockShape& block, std::int64_t group,
                  const Sink& sink) const override {
    const std::int64_t n = block.maskable();
    const double u = stream(shape, group, 0).of_block(block.block);
    const std::int64_t k = 1 + static_cast<std::int64_t>(u * static_cast<double>(n));
    const auto counts = llada_mask_counts(
        k, n, group_size(),
        options_.strata == "published" ? HalfRounding::kToEven : HalfRounding::kUp);
    for (std::int64_t j = 0; j < group_size(); ++j) {
      const std::int64_t count = counts[static_cast<std::size_t>(j)];
      MaskQuery query;
      query.block = block.block;
      query.masked = random_order(stream(shape, group, j), block);
      query.masked.resize(static_cast<std::size_t>(count));
      std::sort(query.masked.begin(), query.masked.end());
      query.t = static_cast<double>(count) / static_cast<double>(n);
      emit(shape, group, query, 1 / query.t, sink);
    }
  }
};

class DreamEstimator final : public GroupedEstimator {
 public:
  using GroupedEstimator::GroupedEstimator;

  std::int64_t scored_tokens(const SequenceShape& shape) const override {
    return shape.blocks() * std::max<std::int64_t>(0, shape.block_size - 2);
  }

 protected:
  void plan_block(const SequenceShape& shape, const BlockShape& block, std::int64_t group,
                  const Sink& sink) const override {
    const double u = stream(shape, group, 0).of_block(block.block);
    for (std::int64_t j = 0; j < group_size(); ++j) {
      const double level =
          std::fmod(u + static_cast<double>(j) / static_cast<double>(group_size()), 1.0);
      MaskQuery query;
      query.block = block.block;
      query.t = options_.t_min + (1 - options_.t_min) * level;
      query.masked = coin_mask(stream(shape, group, j), {block.block, 1, block.size - 1}, query.t);
      emit(shape, group, query, 1 / query.t, sink);
    }
  }
};

}  // namespace

std::vector<std::int64_t> llada_mask_counts(std::int64_t k, std::int64_t n, std::int64_t draws,
                                            HalfRounding halves) {
  std::vector<std::int64_t> counts;
  const double apart = static_cast<double>(n) / static_cast<double>(draws);
  for (std::int64_t j = 0; j < draws; ++j) {
    const double at = static_cast<double>(k) + static_cast<double>(j) * apart;
    const double rounded = halves == HalfRounding::kUp ? std::floor(at + 0.5) : std::nearbyint(at);
    counts.push_back((static_cast<std::int64_t>(rounded) - 1) % n + 1);
  }
  return counts;
}

std::unique_ptr<Estimator> make_llada_estimator(const EstimatorOptions& options, DenoiserLoss) {
  return std::make_unique<LladaEstimator>(options);
}

std::unique_ptr<Estimator> make_dream_estimator(const EstimatorOptions& options, DenoiserLoss) {
  return std::make_unique<DreamEstimator>(options);
}

}  // namespace dlm
