#include "metrics/truth.h"

#include <vector>

#include "harness/base/stats.h"

namespace dlm {
namespace {

class TruthMetric : public Metric {
 public:
  explicit TruthMetric(double entropy_per_token) : entropy_(entropy_per_token) {}

  std::vector<MetricDefinition> definitions() const override {
    return {{"entropy", "nats/token", "none", "closed form",
             "entropy of the source: what its exact model scores"},
            {"nll_minus_entropy", "nats/token", "none", "ratio of sums",
             "measured nll minus the source's entropy"}};
  }

  std::vector<Estimate> compute(std::span<const ExampleRow> rows) const override {
    std::vector<double> nats;
    std::vector<double> tokens;
    for (const ExampleRow& row : rows) {
      nats.push_back(row.nll);
      tokens.push_back(static_cast<double>(row.tokens));
    }
    const MeanEstimate ratio = ratio_estimate(nats, tokens);
    Estimate truth;
    truth.metric = "entropy";
    truth.value = entropy_;
    truth.se_data = 0;
    truth.se_mc = 0;
    truth.n = static_cast<std::int64_t>(rows.size());
    Estimate gap;
    gap.metric = "nll_minus_entropy";
    gap.value = ratio.value - entropy_;
    gap.se_data = ratio.std_error;
    gap.se_mc = 0;
    gap.n = gap.n_clusters = static_cast<std::int64_t>(rows.size());
    if (const auto interval = t_interval(ratio)) {
      gap.ci_low = interval->low - entropy_;
      gap.ci_high = interval->high - entropy_;
      gap.ci_method = "t over documents, linearised ratio";
    }
    return {truth, gap};
  }

 private:
  double entropy_;
};

}  // namespace

std::unique_ptr<Metric> make_truth_metric(double entropy_per_token) {
  return std::make_unique<TruthMetric>(entropy_per_token);
}

}  // namespace dlm
