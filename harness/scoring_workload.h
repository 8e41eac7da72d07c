// A run that scores given text: its plan, its estimator, and the metrics of a likelihood.
#pragma once

#include <optional>
#include <string>

#include "harness/score_plan.h"
#include "harness/workload.h"
#include "models/diffusion/estimator.h"
#include "models/factory.h"

namespace dlm {

class ScoringWorkload final : public Workload {
 public:
  // The model must outlive it. Throws ConfigError or DataError as make_score_plan,
  // estimator_options and make_metric do.
  ScoringWorkload(const RunSpec& spec, const LoadedModel& model);

  const ScorePlan& plan() const { return plan_; }

  // Absent: scored token after token.
  const std::optional<EstimatorOptions>& estimator() const { return estimator_; }

  const TaskIdentity& task() const override { return task_; }

  SpecPart settings() const override { return SpecPart::kScore; }

  Json identity() const override;
  std::string plan_text() const override;
  void measure(Store& store, const std::string& run_id) override;
  std::vector<AskedMetric> metrics() const override;
  Measures estimate(Store& store, const std::string& run_id,
                    std::span<const std::string> names) override;

 private:
  bool chooses_draws() const;
  void choose_draws(Store& store, const std::string& run_id);
  void recall_draws(Store& store, const std::string& run_id);

  RunSpec spec_;
  const LoadedModel& model_;
  ScorePlan plan_;
  std::optional<EstimatorOptions> estimator_;
  std::string pairing_key_;  // of the estimator as it was asked for, and of what a pilot asks
  TaskIdentity task_;
};

}  // namespace dlm
