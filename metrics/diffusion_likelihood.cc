#include "metrics/diffusion_likelihood.h"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <optional>
#include <utility>

#include "harness/base/error.h"

namespace dlm {
namespace {

// Variance of the summed nll given the documents, nats^2; absent where some row cannot tell.
std::optional<double> draw_variance(std::span<const ExampleRow> rows) {
  double variance = 0;
  for (const ExampleRow& row : rows) {
    DLM_CHECK(std::isfinite(row.nll_m2) && row.nll_m2 >= 0 && row.n_mc >= 0,
              "document {}: nll_m2 is {}, n_mc {}", row.doc_id, row.nll_m2, row.n_mc);
    if (row.n_mc == 1)
      return std::nullopt;
    const auto n = static_cast<double>(row.n_mc);
    if (row.n_mc > 1)
      variance += row.nll_m2 / (n * (n - 1));
  }
  return variance;
}

// d value / d (summed nll).
double slope(std::span<const ExampleRow> rows, LikelihoodQuantity quantity, double value) {
  double tokens = 0;
  double bytes = 0;
  double words = 0;
  for (const ExampleRow& row : rows) {
    tokens += static_cast<double>(row.tokens);
    bytes += static_cast<double>(row.bytes);
    words += static_cast<double>(row.words);
  }
  switch (quantity) {
    case LikelihoodQuantity::kNll:
      break;
    case LikelihoodQuantity::kPerplexity:
      return value / tokens;
    case LikelihoodQuantity::kBitsPerByte:
      return 1 / (std::numbers::ln2 * bytes);
    case LikelihoodQuantity::kWordPerplexity:
      return value / words;
  }
  return 1 / tokens;
}

}  // namespace

DiffusionLikelihoodMetric::DiffusionLikelihoodMetric(LikelihoodQuantity quantity,
                                                     DiffusionLikelihoodOptions options)
    : quantity_(quantity), options_(std::move(options)) {}

std::vector<MetricDefinition> DiffusionLikelihoodMetric::definitions() const {
  std::vector<MetricDefinition> definitions = LikelihoodMetric(quantity_, false).definitions();
  for (MetricDefinition& definition : definitions) {
    if (!options_.estimator.empty())
      definition.estimator += " of " + options_.estimator;
    if (options_.is_bound)
      definition.estimator = "upper bound: " + definition.estimator;
  }
  return definitions;
}

std::vector<Estimate> DiffusionLikelihoodMetric::compute(std::span<const ExampleRow> rows) const {
  const std::optional<double> variance = draw_variance(rows);
  std::vector<Estimate> estimates = LikelihoodMetric(quantity_, false).compute(rows);
  for (Estimate& estimate : estimates) {
    if (!variance)
      continue;
    estimate.se_mc = std::sqrt(*variance) * slope(rows, quantity_, estimate.value);
    if (estimate.se_data) {
      const double total = *estimate.se_data;
      estimate.se_data =
          std::sqrt(std::max(0.0, total * total - *estimate.se_mc * *estimate.se_mc));
    }
  }
  return estimates;
}

}  // namespace dlm
