// pass@k: the chance that at least one of k samples solves a problem, estimated without bias from n
// samples of which c do. Source: Chen et al., arXiv:2107.03374, eq. 1; agrees with
// openai/human-eval estimate_pass_at_k.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "metrics/metric.h"

namespace dlm {

// 1 - C(n - c, k) / C(n, k) as a product; exactly 1 where n - c < k. Throws ConfigError unless
// 0 <= c <= n and 1 <= k <= n.
double pass_at_k(std::int64_t n, std::int64_t c, std::int64_t k);

// The variance of pass_at_k(n, C, k) over C ~ Binomial(n, c / n), summed exactly over the n + 1
// values of C: what other samples of the same problem would change. Scaled by n / (n - 1), which
// makes it unbiased for k = 1; n >= 2 (ConfigError).
double pass_at_k_variance(std::int64_t n, std::int64_t c, std::int64_t k);

// How a mean over problems is described; a problem's samples are dependent, so problems are the
// clusters.
struct PassAtKOptions {
  std::vector<std::int64_t> ks{1};
  std::string variant;  // what distinguishes these rows ("sanitised"); appended to "k=1"
};

// Rows: doc_id is the problem, score is 1 where the sample solves it, else 0. One estimate for each
// k that no problem has fewer samples than; the others are left out.
// se_mc: of the samples given the problems (absent where a problem has one sample).
// se_data: what more samples would leave, sqrt(total^2 - se_mc^2); the total where se_mc is absent.
// Interval: t over problems of the total, inside [0, 1]; Wilson's for k = 1 where every problem has
// one sample, and where all problems agree on 0 or 1 (the standard error is unknown then).
class PassAtK : public Metric {
 public:
  explicit PassAtK(PassAtKOptions options) : options_(std::move(options)) {}

  std::vector<MetricDefinition> definitions() const override;
  std::vector<Estimate> compute(std::span<const ExampleRow> rows) const override;

 private:
  PassAtKOptions options_;
};

// The share of samples that ended each way: one estimate of metric "exec_share" for each value of
// exec_status that occurs, as variant, with an interval clustered by problem.
class ExecShare : public Metric {
 public:
  explicit ExecShare(std::string variant = {}) : variant_(std::move(variant)) {}

  std::vector<MetricDefinition> definitions() const override;
  std::vector<Estimate> compute(std::span<const ExampleRow> rows) const override;

 private:
  std::string variant_;
};

}  // namespace dlm
