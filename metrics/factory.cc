#include "metrics/factory.h"

#include <array>
#include <utility>

#include "harness/base/error.h"
#include "metrics/likelihood.h"

namespace dlm {
namespace {

using Maker = std::unique_ptr<Metric> (*)(const MetricOptions& options);

template <LikelihoodQuantity quantity>
std::unique_ptr<Metric> make_likelihood(const MetricOptions& options) {
  if (options.diffusion)
    return std::make_unique<DiffusionLikelihoodMetric>(quantity, *options.diffusion);
  return std::make_unique<LikelihoodMetric>(quantity, options.exact);
}

constexpr std::array<std::pair<const char*, Maker>, 4> kMetrics{
    {{"nll", make_likelihood<LikelihoodQuantity::kNll>},
     {"perplexity", make_likelihood<LikelihoodQuantity::kPerplexity>},
     {"bits_per_byte", make_likelihood<LikelihoodQuantity::kBitsPerByte>},
     {"word_perplexity", make_likelihood<LikelihoodQuantity::kWordPerplexity>}}};

}  // namespace

std::unique_ptr<Metric> make_metric(std::string_view name, const MetricOptions& options) {
  for (const auto& [known, maker] : kMetrics) {
    if (name == known)
      return maker(options);
  }
  throw unknown_name("metric", name, metric_names());
}

std::vector<std::string> metric_names() {
  std::vector<std::string> names;
  for (const auto& [name, maker] : kMetrics) names.emplace_back(name);
  return names;
}

}  // namespace dlm
