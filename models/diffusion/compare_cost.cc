#include "models/diffusion/compare_cost.h"

#include <numeric>
#include <vector>

#include "harness/base/error.h"
#include "harness/base/stats.h"

namespace dlm {
namespace {

// Per sequence: variance of one replicate times its passes.
struct Side {
  EstimatorCost cost;
  std::vector<double> products;
};

Side measure(const Denoiser& denoiser, const CostQuestion& question,
             const EstimatorOptions& options) {
  const std::int64_t replicates = make_estimator(options, denoiser.loss())->replicates();
  if (replicates < 2)
    throw ConfigError("replicates", fmt::to_string(replicates),
                      fmt::format("at least 2 of estimator {}, to tell its error", options.name));
  const LikelihoodEstimates estimates =
      estimate_likelihood(denoiser, question.sequences, question.examples, options);
  Side side;
  side.cost.passes = static_cast<double>(options.draws) / static_cast<double>(replicates);
  side.cost.counts = estimates.clean;
  side.cost.counts += estimates.draws;
  for (const SequenceEstimate& sequence : estimates.sequences) {
    const double variance = sequence.m2 / static_cast<double>(replicates - 1);
    side.cost.variance += variance;
    side.products.push_back(variance * side.cost.passes);
  }
  return side;
}

}  // namespace

CostComparison compare_cost(const Denoiser& denoiser, const CostQuestion& question) {
  const Side baseline = measure(denoiser, question, question.baseline);
  const Side candidate = measure(denoiser, question, question.candidate);
  const double spent = std::accumulate(candidate.products.begin(), candidate.products.end(), 0.0);
  if (!(spent > 0))
    throw ConfigError("candidate", question.candidate.name,
                      "an estimator with a Monte-Carlo error on these sequences");
  const MeanEstimate ratio = ratio_estimate(baseline.products, candidate.products);
  return {baseline.cost, candidate.cost, ratio.value, ratio.std_error};
}

}  // namespace dlm
