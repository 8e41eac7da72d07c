#include "harness/nelbo_variance.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "harness/base/error.h"
#include "harness/base/stats.h"
#include "models/diffusion/clipped_schedule.h"

namespace dlm {
namespace {

using Sequences = std::vector<std::vector<std::int64_t>>;

// Full batches only: the variance inside a smaller one is of other strata.
std::vector<Sequences> full_window_batches(const ScorePlan& plan, std::int64_t size) {
  std::vector<Sequences> batches;
  Sequences next;
  std::size_t length = 0;
  for (const ScoringUnit& unit : plan.units) {
    for (const ScoringWindow& window : unit.windows) {
      if (length != 0 && window.ids.size() != length)
        throw ConfigError("metrics", kNelboVariance, "others: the windows differ in length");
      length = window.ids.size();
      next.push_back(window.ids);
      if (std::ssize(next) == size)
        batches.push_back(std::exchange(next, {}));
    }
  }
  if (batches.empty())
    throw ConfigError("batch_size", std::to_string(size),
                      fmt::format("at most {}, the windows there are, for the metric {}",
                                  next.size(), kNelboVariance));
  return batches;
}

}  // namespace

MetricDefinition nelbo_variance_definition() {
  return {kNelboVariance, "(nats/token)^2", "lo", "mean over batches",
          "variance of the blocks' mean losses inside a batch"};
}

Measures nelbo_variance_measures(const Denoiser& denoiser, const ScorePlan& plan,
                                 const EstimatorOptions& estimator, std::int64_t batch_size) {
  if (denoiser.loss() == DenoiserLoss::kScoreEntropy)
    throw ConfigError("metrics", kNelboVariance, "others: the model is trained by score entropy");
  const std::vector<Sequences> batches = full_window_batches(plan, batch_size);
  ClippedSearchOptions options;
  options.block_size =
      estimator.block_size > 0 ? estimator.block_size : std::ssize(batches.front().front());
  options.seed = estimator.seed;
  options.keeps_first_clean = estimator.first_token == "clean";
  const IntervalVariance found = interval_variance(denoiser, batches, NoiseInterval(), options);
  Estimate variance;
  variance.metric = kNelboVariance;
  variance.value = found.mean;
  variance.se_data = found.std_error;
  const auto used = std::min(std::ssize(batches), static_cast<std::ptrdiff_t>(options.max_batches));
  variance.n = used * batch_size;
  variance.n_clusters = used;
  if (const auto interval = t_interval({found.mean, found.std_error, used, used - 1})) {
    variance.ci_low = interval->low;
    variance.ci_high = interval->high;
    variance.ci_method = "t";
  }
  return {{variance}, {nelbo_variance_definition()}};
}

}  // namespace dlm
