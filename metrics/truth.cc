#include "metrics/truth.h"

#include <optional>
#include <utility>
#include <vector>

#include "metrics/likelihood.h"

namespace dlm {
namespace {

class EntropyMetric : public Metric {
 public:
  explicit EntropyMetric(double entropy_per_token) : entropy_(entropy_per_token) {}

  std::vector<MetricDefinition> definitions() const override {
    return {{"entropy", "nats/token", "none", "closed form",
             "entropy of the source: what its exact model scores"}};
  }

  std::vector<Estimate> compute(std::span<const ExampleRow> rows) const override {
    Estimate truth;
    truth.metric = "entropy";
    truth.value = entropy_;
    truth.se_data = 0;
    truth.se_mc = 0;
    truth.n = std::ssize(rows);
    truth.n_clusters = cluster_count(rows);
    return {truth};
  }

 private:
  double entropy_;
};

class TruthMetric : public Metric {
 public:
  TruthMetric(double entropy_per_token, std::unique_ptr<Metric> nll)
      : entropy_(entropy_per_token), nll_(std::move(nll)) {}

  std::vector<MetricDefinition> definitions() const override {
    return {{"nll_minus_entropy", "nats/token", "none", nll_->definitions().front().estimator,
             "measured nll minus the source's entropy"}};
  }

  std::vector<Estimate> compute(std::span<const ExampleRow> rows) const override {
    std::vector<Estimate> gaps = nll_->compute(rows);
    for (Estimate& gap : gaps) {
      gap.metric = "nll_minus_entropy";
      gap.value -= entropy_;
      for (std::optional<double>* end : {&gap.ci_low, &gap.ci_high}) {
        if (*end)
          **end -= entropy_;
      }
    }
    return gaps;
  }

 private:
  double entropy_;
  std::unique_ptr<Metric> nll_;
};

}  // namespace

std::unique_ptr<Metric> make_entropy_metric(double entropy_per_token) {
  return std::make_unique<EntropyMetric>(entropy_per_token);
}

std::unique_ptr<Metric> make_truth_metric(double entropy_per_token, std::unique_ptr<Metric> nll) {
  return std::make_unique<TruthMetric>(entropy_per_token, std::move(nll));
}

}  // namespace dlm
