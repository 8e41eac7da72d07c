#include "metrics/truth.h"

#include <utility>
#include <vector>

#include "harness/base/error.h"

namespace dlm {
namespace {

class TruthMetric : public Metric {
 public:
  TruthMetric(double entropy_per_token, std::unique_ptr<Metric> nll)
      : entropy_(entropy_per_token), nll_(std::move(nll)) {}

  std::vector<MetricDefinition> definitions() const override {
    return {{"entropy", "nats/token", "none", "closed form",
             "entropy of the source: what its exact model scores"},
            {"nll_minus_entropy", "nats/token", "none", nll_->definitions().front().estimator,
             "measured nll minus the source's entropy"}};
  }

  std::vector<Estimate> compute(std::span<const ExampleRow> rows) const override {
    const std::vector<Estimate> measured = nll_->compute(rows);
    DLM_CHECK(measured.size() == 1, "{} estimates of the nll", measured.size());
    Estimate truth;
    truth.metric = "entropy";
    truth.value = entropy_;
    truth.se_data = 0;
    truth.se_mc = 0;
    truth.n = measured.front().n;
    Estimate gap = measured.front();
    gap.metric = "nll_minus_entropy";
    gap.value -= entropy_;
    for (std::optional<double>* end : {&gap.ci_low, &gap.ci_high}) {
      if (*end)
        **end -= entropy_;
    }
    return {truth, gap};
  }

 private:
  double entropy_;
  std::unique_ptr<Metric> nll_;
};

}  // namespace

std::unique_ptr<Metric> make_truth_metric(double entropy_per_token, std::unique_ptr<Metric> nll) {
  return std::make_unique<TruthMetric>(entropy_per_token, std::move(nll));
}

}  // namespace dlm
