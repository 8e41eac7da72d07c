// Likelihood per token, byte and word. All are ratios of sums over documents, so each document
// weighs by its size, and the standard error is that of a ratio (stats.h).
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "metrics/metric.h"

namespace dlm {

enum class LikelihoodQuantity {
  kNll,             // sum of nll / scored tokens, nats per token
  kPerplexity,      // exp of that
  kBitsPerByte,     // sum of nll / ln 2 / bytes of the text
  kWordPerplexity,  // exp(sum of nll / words of the text)
};

// How many of the rows are independent: clusters, and documents that have none.
std::int64_t cluster_count(std::span<const ExampleRow> rows);

// The name of a row's cluster: a document without one is a cluster of its own, and the two kinds of
// names never meet.
std::string cluster_key(std::string_view cluster, std::string_view document);

// One estimate, over the clusters of the rows; rows of a document without a cluster form one.
// Interval: 95 %, Student t with n_clusters - 1 degrees of freedom on the linearised ratio; for
// perplexities the exp of the log's interval, with the standard error by the delta method. One
// cluster: no standard error and no interval; an interval whose end overflows is left out too. `n`
// counts documents, replicates once.
class LikelihoodMetric : public Metric {
 public:
  // `exact`: the rows' nll holds no Monte-Carlo error, so se_mc is 0; otherwise se_mc is absent.
  LikelihoodMetric(LikelihoodQuantity quantity, bool exact) : quantity_(quantity), exact_(exact) {}

  std::vector<MetricDefinition> definitions() const override;

  // Empty where a perplexity is beyond the range of double.
  // Throws ConfigError "nothing measured" where the rows have no scored token, byte or word.
  std::vector<Estimate> compute(std::span<const ExampleRow> rows) const override;

 private:
  LikelihoodQuantity quantity_;
  bool exact_;
};

}  // namespace dlm
