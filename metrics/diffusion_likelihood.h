// Likelihood of a model that is scored with Monte-Carlo draws: the quantities of likelihood.h, with
// the error over documents told apart from that of the draws.
#pragma once

#include <string>
#include <vector>

#include "metrics/likelihood.h"

namespace dlm {

struct DiffusionLikelihoodOptions {
  bool is_bound = true;   // the value is an upper bound (of perplexity and the like, too)
  std::string estimator;  // how each row's nll was made, e.g. "stratified, L' = 4, 8 draws"
};

// One estimate from rows whose nll is the mean of n_mc independent replicates with summed squared
// deviation nll_m2; n_mc = 0 says that it is exact.
//
// value, interval: as LikelihoodMetric. The interval is from the spread between documents, which
//   holds both errors.
// se_mc: that of the draws, given the documents: the root of the rows' summed nll_m2 / (n_mc (n_mc
// -
//   1)), on the scale of the value. Absent where some row has one replicate. With the control
//   variate of `stratified` it is up to 4 % small (models/diffusion/token_control.h), and se_data
//   correspondingly large; the interval is not touched.
// se_data: sqrt(total^2 - se_mc^2), the error that more draws would leave; 0 where the draws
// explain
//   all of it. Where se_mc is absent it is the total.
//
// Rows of one cluster add up first for the total; their draws are independent.
class DiffusionLikelihoodMetric : public Metric {
 public:
  DiffusionLikelihoodMetric(LikelihoodQuantity quantity, DiffusionLikelihoodOptions options);

  // The estimator begins with "upper bound: " where it is one.
  std::vector<MetricDefinition> definitions() const override;

  // Throws ConfigError like LikelihoodMetric, InternalError for rows whose nll_m2 is negative or
  // not finite, or n_mc negative.
  std::vector<Estimate> compute(std::span<const ExampleRow> rows) const override;

 private:
  LikelihoodQuantity quantity_;
  DiffusionLikelihoodOptions options_;
};

}  // namespace dlm
