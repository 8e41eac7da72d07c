#include "metrics/factory.h"

#include <array>
#include <utility>

#include "harness/base/error.h"
#include "metrics/likelihood.h"
#include "metrics/truth.h"

namespace dlm {
namespace {

using Maker = std::unique_ptr<Metric> (*)(const MetricOptions& options);

template <LikelihoodQuantity quantity>
std::unique_ptr<Metric> make_likelihood(const MetricOptions& options) {
  if (options.diffusion)
    return std::make_unique<DiffusionLikelihoodMetric>(quantity, *options.diffusion);
  return std::make_unique<LikelihoodMetric>(quantity, options.exact);
}

double known_entropy(const char* metric, const MetricOptions& options) {
  if (!options.entropy_per_token)
    throw ConfigError("metrics", metric,
                      "others: it needs a task whose entropy is known, draws:WORLD with the first "
                      "token scored");
  return *options.entropy_per_token;
}

std::unique_ptr<Metric> make_entropy(const MetricOptions& options) {
  return make_entropy_metric(known_entropy("entropy", options));
}

std::unique_ptr<Metric> make_truth(const MetricOptions& options) {
  return make_truth_metric(known_entropy("nll_minus_entropy", options),
                           make_likelihood<LikelihoodQuantity::kNll>(options));
}

constexpr std::array<std::pair<const char*, Maker>, 6> kMetrics{
    {{"nll", make_likelihood<LikelihoodQuantity::kNll>},
     {"perplexity", make_likelihood<LikelihoodQuantity::kPerplexity>},
     {"bits_per_byte", make_likelihood<LikelihoodQuantity::kBitsPerByte>},
     {"word_perplexity", make_likelihood<LikelihoodQuantity::kWordPerplexity>},
     {"entropy", make_entropy},
     {"nll_minus_entropy", make_truth}}};

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
