#include "models/diffusion/stratified.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "models/diffusion/mask_count.h"
#include "models/diffusion/mask_draw.h"

namespace dlm {
namespace {

constexpr double kGoldenRatio = 0.6180339887498949;

class StratifiedEstimator : public Estimator {
 public:
  explicit StratifiedEstimator(const EstimatorOptions& options) : options_(options) {}

  void plan(const SequenceShape& shape, const Sink& sink) const override {
    // The block whose first token is given has another law than the rest.
    const std::int64_t in_first = shape.block_size - (shape.is_first_scored ? 0 : 1);
    const MaskCountLaw law = mask_count_law(shape.block_size, options_.t_min, options_.t_max);
    const MaskCountLaw first_law =
        in_first > 0 ? mask_count_law(in_first, options_.t_min, options_.t_max) : MaskCountLaw{};
    for (std::int64_t group = 0; group < options_.replicates; ++group) {
      const MaskStream stream(options_.seed, shape.example, group);
      for (std::int64_t b = 0; b < shape.blocks(); ++b) {
        if (b > 0 || in_first > 0)
          plan_block({shape, group, b, b == 0 ? first_law : law, stream}, sink);
      }
    }
  }

  std::int64_t replicates() const override { return options_.replicates; }

  std::int64_t passes(std::int64_t) const override { return options_.draws; }

 private:
  struct Place {
    const SequenceShape& shape;
    std::int64_t group;
    std::int64_t block;
    const MaskCountLaw& law;
    const MaskStream& stream;
  };

  void plan_block(const Place& place, const Sink& sink) const {
    const std::int64_t n = std::ssize(place.law.probability);
    const BlockShape block{place.block, place.shape.block_size - n, place.shape.block_size};
    const std::vector<std::int64_t> order = random_order(place.stream, block);
    const std::int64_t draws = options_.draws / options_.replicates;
    const auto m = static_cast<double>(draws);
    const double shift = std::fmod(static_cast<double>(place.block) * kGoldenRatio, 1.0) / m;
    std::int64_t begin = 0;
    for (std::int64_t j = 0; j < draws; ++j) {
      const double u =
          std::fmod(place.stream.of_sequence() + shift + static_cast<double>(j) / m, 1.0);
      const std::int64_t k = mask_count_at(place.law, u);
      WeightedQuery query;
      query.query = {
          place.shape.sequence, place.block, {}, static_cast<double>(k) / static_cast<double>(n)};
      for (std::int64_t i = begin; i < begin + k; ++i)
        query.query.masked.push_back(order[static_cast<std::size_t>(i % n)]);
      std::sort(query.query.masked.begin(), query.query.masked.end());
      begin = (begin + k) % n;
      query.weight = place.law.weight[static_cast<std::size_t>(k) - 1] / m;
      query.replicate = place.group;
      sink(std::move(query));
    }
  }

  EstimatorOptions options_;
};

}  // namespace

std::unique_ptr<Estimator> make_stratified_estimator(const EstimatorOptions& options,
                                                     DenoiserLoss) {
  return std::make_unique<StratifiedEstimator>(options);
}

}  // namespace dlm
