#include "models/diffusion/enumerate.h"

#include <cmath>
#include <utility>

#include "harness/base/error.h"
#include "models/diffusion/mask_count.h"

namespace dlm {
namespace {

class EnumerateEstimator : public Estimator {
 public:
  explicit EnumerateEstimator(const EstimatorOptions& options) : options_(options) {}

  void plan(const SequenceShape& shape, const Sink& sink) const override {
    for (std::int64_t b = 0; b < shape.blocks(); ++b) plan_block(shape, b, sink);
  }

  std::int64_t replicates() const override { return 0; }

  std::int64_t passes(std::int64_t n) const override {
    check_enumerated(n);
    return (std::int64_t{1} << n) - 1;
  }

 private:
  void plan_block(const SequenceShape& shape, std::int64_t b, const Sink& sink) const {
    const std::int64_t first = b == 0 && !shape.is_first_scored ? 1 : 0;
    const std::int64_t n = shape.block_size - first;
    if (n == 0)
      return;
    const std::int64_t masks = passes(n);
    const MaskCountLaw law = mask_count_law(n, options_.t_min, options_.t_max);
    for (std::int64_t bits = 1; bits <= masks; ++bits) {
      WeightedQuery query;
      query.query = {shape.sequence, b, {}, 1};
      for (std::int64_t i = 0; i < n; ++i) {
        if ((bits >> i & 1) != 0)
          query.query.masked.push_back(first + i);
      }
      const std::int64_t k = std::ssize(query.query.masked);
      const auto at = static_cast<std::size_t>(k) - 1;
      query.query.t = static_cast<double>(k) / static_cast<double>(n);
      query.weight = law.probability[at] * law.weight[at] / std::round(std::exp(log_choose(n, k)));
      sink(std::move(query));
    }
  }

  EstimatorOptions options_;
};

}  // namespace

void check_enumerated(std::int64_t n) {
  if (n > kMostEnumerated)
    throw ConfigError(
        "estimator", "enumerate",
        fmt::format("blocks of at most {} tokens: {} tokens have 2^{} - 1 masks, {:.3g} passes",
                    kMostEnumerated, n, n, std::pow(2.0, static_cast<double>(n)) - 1));
}

std::unique_ptr<Estimator> make_enumerate_estimator(const EstimatorOptions& options, DenoiserLoss) {
  return std::make_unique<EnumerateEstimator>(options);
}

}  // namespace dlm
