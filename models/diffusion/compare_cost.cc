#include "models/diffusion/compare_cost.h"

#include <numeric>
#include <vector>

#include "harness/base/error.h"
#include "harness/base/stats.h"

namespace dlm {
namespace {

// Per sequence: variance of an estimate times its passes.
struct Side {
  EstimatorCost cost;
  std::vector<double> products;
};

// Values of one sequence over the repeats, as they come.
struct Spread {
  std::int64_t n = 0;
  double mean = 0;
  double m2 = 0;

  void add(double value) {
    ++n;
    const double delta = value - mean;
    mean += delta / static_cast<double>(n);
    m2 += delta * (value - mean);
  }
};

Side measure(const Denoiser& denoiser, const CostQuestion& question, EstimatorOptions options) {
  const auto estimator = make_estimator(options, denoiser.loss());
  if (estimator->replicates() == 0)
    throw ConfigError("estimator", options.name,
                      "one that draws masks: this one has no Monte-Carlo error");
  Side side;
  side.cost.passes = static_cast<double>(options.draws);
  std::vector<Spread> spreads(question.sequences.size());
  for (std::int64_t repeat = 0; repeat < question.repeats; ++repeat, ++options.seed) {
    const LikelihoodEstimates estimates =
        estimate_likelihood(denoiser, question.sequences, question.examples, options);
    side.cost.counts += estimates.clean;
    side.cost.counts += estimates.draws;
    for (std::size_t s = 0; s < spreads.size(); ++s) spreads[s].add(estimates.sequences[s].nats);
  }
  for (const Spread& spread : spreads) {
    const double variance = spread.m2 / static_cast<double>(spread.n - 1);
    side.cost.variance += variance;
    side.products.push_back(variance * side.cost.passes);
  }
  return side;
}

}  // namespace

CostComparison compare_cost(const Denoiser& denoiser, const CostQuestion& question) {
  if (question.repeats < 2)
    throw ConfigError("repeats", fmt::to_string(question.repeats), "at least 2");
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
