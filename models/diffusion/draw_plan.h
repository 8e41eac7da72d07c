// How many mask draws a document deserves, and when a run has been measured well enough.
#pragma once

#include <cstdint>
#include <optional>

#include "harness/base/stats.h"

namespace dlm {

// Of one document's value (nats, or nats per token; the target in the same unit) and of what it
// costs, in any unit of work.
struct DrawCosts {
  double var_data = 0;         // between documents, Monte-Carlo error removed
  double var_mc_per_draw = 0;  // Monte-Carlo, one draw: that of M draws is taken as a M-th of it
  double cost_clean = 0;       // encoding a document, once
  double cost_draw = 1;        // each mask draw of it
  std::int64_t max_draws = 64;
  std::int64_t max_documents = 0;  // 0 = as many as it takes
};

struct DrawPlan {
  std::int64_t draws = 1;
  std::int64_t documents = 1;
  double cost = 0;
  double std_error = 0;  // expected
  bool reaches_target = true;
};

// The draws per document and the number of documents with the least total cost for which
// sqrt((var_data + var_mc / M) / N) <= target_std_error; among equals the fewest draws. With
// documents without limit M is near sqrt(var_mc cost_clean / (var_data cost_draw)) whatever the
// target. Where it is out of reach: max_draws and max_documents. Throws ConfigError for a negative
// variance or cost, a draw that costs nothing, or a target that is not above 0. Stratified draws
// fall faster than 1 / M, so for them this errs towards too many.
DrawPlan choose_draws(const DrawCosts& costs, double target_std_error);

struct TargetInterval {
  double relative = 0.005;  // half-width of the perplexity's 95 % interval over the perplexity
  double level = 0.95;
  std::int64_t min_documents = 50;
  std::int64_t check_every = 10;  // documents
};

// Stops a run when the interval of its nats per token is narrow enough: half-width <= ln(1 +
// relative). What is added must be independent: documents, or the sums of clusters of dependent
// ones. They are to be added in their order; it looks only at numbers of them that do not depend on
// batches, so neither does where it stops. An interval that is looked at again and
// again until it is narrow covers a little less often than its level, since it stops early where
// the spread happens to look small: by Chow and Robbins (Ann. Math. Statist. 36, 1965) the loss
// vanishes as the target becomes narrow, and min_documents bounds it for wide ones
// (StoppingRuleSlow measures it).
class StoppingRule {
 public:
  // Throws ConfigError for a target outside (0, 1], fewer than two documents, or a level outside
  // (0, 1).
  explicit StoppingRule(const TargetInterval& target);

  // Adds the nats and scored tokens of a document, or of a whole cluster; true once the target has
  // been met.
  bool add(double nats, double tokens);

  std::int64_t documents() const { return documents_; }

  std::optional<MeanEstimate> estimate() const { return ratio_.estimate(); }

 private:
  TargetInterval target_;
  RunningRatio ratio_;
  std::int64_t documents_ = 0;
  bool is_met_ = false;
};

}  // namespace dlm
