#include "metrics/likelihood.h"

#include <cmath>
#include <map>
#include <numbers>
#include <set>
#include <string>

#include "harness/base/error.h"
#include "harness/base/stats.h"

namespace dlm {
namespace {

// The sums that a quantity is the ratio of.
struct RatioData {
  std::vector<double> numerators;
  std::vector<double> denominators;
  std::vector<std::int64_t> clusters;
  std::int64_t n_documents = 0;
};

MetricDefinition definition_of(LikelihoodQuantity quantity) {
  switch (quantity) {
    case LikelihoodQuantity::kNll:
      return {"nll", "nats/token", "lo", "ratio of sums",
              "negative log-likelihood over scored tokens, special ones included"};
    case LikelihoodQuantity::kPerplexity:
      return {"perplexity", "1", "lo", "exp of a ratio of sums", "exp(nll)"};
    case LikelihoodQuantity::kBitsPerByte:
      return {"bits_per_byte", "bits/byte", "lo", "ratio of sums",
              "negative log-likelihood over the UTF-8 bytes of the text as scored"};
    case LikelihoodQuantity::kWordPerplexity:
      break;
  }
  return {"word_perplexity", "1", "lo", "exp of a ratio of sums",
          "exp of the negative log-likelihood over the white-space separated words of the text as "
          "scored"};
}

std::int64_t size_of(const ExampleRow& row, LikelihoodQuantity quantity) {
  switch (quantity) {
    case LikelihoodQuantity::kBitsPerByte:
      return row.bytes;
    case LikelihoodQuantity::kWordPerplexity:
      return row.words;
    case LikelihoodQuantity::kNll:
    case LikelihoodQuantity::kPerplexity:
      break;
  }
  return row.tokens;
}

RatioData collect(std::span<const ExampleRow> rows, LikelihoodQuantity quantity) {
  RatioData data;
  std::map<std::string, std::int64_t> numbers;
  std::set<std::string> documents;
  double total = 0;
  std::int64_t tokens = 0;
  for (const ExampleRow& row : rows) {
    DLM_CHECK(std::isfinite(row.nll), "document {}: nll is {}", row.doc_id, row.nll);
    const auto number = static_cast<std::int64_t>(numbers.size());
    data.clusters.push_back(
        numbers.try_emplace(cluster_key(row.cluster, row.doc_id), number).first->second);
    data.numerators.push_back(
        quantity == LikelihoodQuantity::kBitsPerByte ? row.nll / std::numbers::ln2 : row.nll);
    data.denominators.push_back(static_cast<double>(size_of(row, quantity)));
    documents.insert(row.doc_id);
    total += data.denominators.back();
    tokens += row.tokens;
  }
  if (tokens <= 0 || total <= 0)
    throw ConfigError(
        "metric", definition_of(quantity).metric,
        fmt::format("nothing measured: {} scored tokens, a size of {}", tokens, total));
  data.n_documents = static_cast<std::int64_t>(documents.size());
  return data;
}

void to_exponential(Estimate& estimate) {
  estimate.value = std::exp(estimate.value);
  if (estimate.se_data)
    estimate.se_data = estimate.value * *estimate.se_data;
  if (!estimate.ci_high)
    return;
  estimate.ci_low = std::exp(*estimate.ci_low);
  estimate.ci_high = std::exp(*estimate.ci_high);
  if (!std::isfinite(*estimate.ci_high)) {
    estimate.ci_low = estimate.ci_high = std::nullopt;
    estimate.ci_method.clear();
  }
}

}  // namespace

std::int64_t cluster_count(std::span<const ExampleRow> rows) {
  std::set<std::string> keys;
  for (const ExampleRow& row : rows) keys.insert(cluster_key(row.cluster, row.doc_id));
  return std::ssize(keys);
}

std::string cluster_key(std::string_view cluster, std::string_view document) {
  return cluster.empty() ? fmt::format("document {}", document)
                         : fmt::format("cluster {}", cluster);
}

std::vector<MetricDefinition> LikelihoodMetric::definitions() const {
  return {definition_of(quantity_)};
}

std::vector<Estimate> LikelihoodMetric::compute(std::span<const ExampleRow> rows) const {
  const RatioData data = collect(rows, quantity_);
  const MeanEstimate ratio =
      clustered_ratio_estimate(data.numerators, data.denominators, data.clusters);
  Estimate estimate;
  estimate.metric = definition_of(quantity_).metric;
  estimate.value = ratio.value;
  estimate.se_data = ratio.std_error;
  if (exact_)
    estimate.se_mc = 0;
  estimate.n = data.n_documents;
  estimate.n_clusters = ratio.degrees + 1;
  const bool is_exponential = quantity_ == LikelihoodQuantity::kPerplexity ||
                              quantity_ == LikelihoodQuantity::kWordPerplexity;
  if (const auto interval = t_interval(ratio)) {
    estimate.ci_low = interval->low;
    estimate.ci_high = interval->high;
    estimate.ci_method = fmt::format("t over {}, linearised ratio{}",
                                     estimate.n == estimate.n_clusters ? "documents" : "clusters",
                                     is_exponential ? ", exp of the log" : "");
  }
  if (is_exponential)
    to_exponential(estimate);
  // exp of many nats per word: beyond what a double holds there is nothing to state.
  if (!std::isfinite(estimate.value))
    return {};
  return {estimate};
}

}  // namespace dlm
