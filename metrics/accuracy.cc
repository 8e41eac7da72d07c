#include "metrics/accuracy.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <map>

#include "harness/base/error.h"
#include "harness/base/stats.h"

namespace dlm {
namespace {

double score_of(const ExampleRow& row) {
  DLM_CHECK(row.score && (*row.score == 0 || *row.score == 1), "document {}: score {}", row.doc_id,
            row.score.value_or(-1));
  return *row.score;
}

void set_wilson(Estimate& estimate) {
  const double right = estimate.value * static_cast<double>(estimate.n_clusters);
  const Interval interval =
      wilson_interval(static_cast<std::int64_t>(std::llround(right)), estimate.n_clusters);
  estimate.ci_low = interval.low;
  estimate.ci_high = interval.high;
  estimate.ci_method = "Wilson over documents";
}

}  // namespace

std::vector<MetricDefinition> Accuracy::definitions() const {
  std::string doc = "right answers over all answers, missing ones included";
  if (options_.metric == "majority_accuracy")
    doc = "documents whose most frequent answer among the first k samples is right";
  if (options_.metric == "answers_found")
    doc = "answers that the extractor found, right or wrong, over all";
  return {{options_.metric, "1", "hi", "mean of 0 and 1", doc}};
}

std::vector<Estimate> Accuracy::compute(std::span<const ExampleRow> rows) const {
  if (rows.empty())
    throw ConfigError("metric", options_.metric, "nothing measured: no answer");
  std::map<std::string, std::int64_t> numbers;
  std::vector<double> scores;
  std::vector<std::int64_t> clusters;
  for (const ExampleRow& row : rows) {
    const auto next = static_cast<std::int64_t>(numbers.size());
    clusters.push_back(numbers.try_emplace(row.doc_id, next).first->second);
    scores.push_back(score_of(row));
  }
  const std::vector<double> ones(scores.size(), 1.0);
  const MeanEstimate mean = clustered_ratio_estimate(scores, ones, clusters);
  Estimate estimate;
  estimate.metric = options_.metric;
  estimate.variant = options_.variant;
  estimate.value = mean.value;
  estimate.n = estimate.n_clusters = static_cast<std::int64_t>(numbers.size());
  const bool several = rows.size() > numbers.size();
  if (mean.std_error && *mean.std_error > 0)
    estimate.se_data = mean.std_error;
  if (several && estimate.se_data) {
    const Interval interval = *t_interval(mean);
    estimate.ci_low = std::max(0.0, interval.low);
    estimate.ci_high = std::min(1.0, interval.high);
    estimate.ci_method = "t over documents, samples clustered";
  } else {
    set_wilson(estimate);
  }
  return {estimate};
}

}  // namespace dlm
