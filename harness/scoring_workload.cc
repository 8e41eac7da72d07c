#include "harness/scoring_workload.h"

#include <memory>
#include <span>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include "harness/base/error.h"
#include "harness/base/log.h"
#include "harness/draw_pilot.h"
#include "harness/estimator_settings.h"
#include "harness/nelbo_variance.h"
#include "harness/score_run.h"
#include "harness/window_scorer.h"
#include "metrics/factory.h"

namespace dlm {
namespace {

// The estimate that keeps how many masks a pilot chose to draw for every block.
constexpr const char* kMaskDraws = "mask_draws";

// "auto" is every metric that the task has what it takes for: documents drawn from a source have
// no text, but a known entropy.
std::vector<std::string> metric_list(const RunSpec& spec, const ScorePlan& plan) {
  if (spec.metrics != std::vector<std::string>{"auto"})
    return spec.metrics;
  std::vector<std::string> names = {"nll", "perplexity"};
  if (plan.task_kind != "draws" && plan.task_kind != "tokens")
    names.insert(names.end(), {"bits_per_byte", "word_perplexity"});
  if (plan.entropy_per_token)
    names.insert(names.end(), {"entropy", "nll_minus_entropy"});
  return names;
}

MetricOptions metric_options(const ScorePlan& plan, const LoadedModel& model,
                             const std::optional<EstimatorOptions>& estimator) {
  MetricOptions options;
  options.entropy_per_token = plan.entropy_per_token;
  if (estimator) {
    const LikelihoodKind kind = likelihood_kind(*estimator, model.denoiser->loss());
    std::string text = estimator_text(*estimator);
    if (kind == LikelihoodKind::kClipped)
      text += " (clipped: bounds nothing)";
    options.diffusion = DiffusionLikelihoodOptions{kind == LikelihoodKind::kBound, text};
  }
  return options;
}

}  // namespace

ScoringWorkload::ScoringWorkload(const RunSpec& spec, const LoadedModel& model)
    : spec_(spec), model_(model), plan_(make_score_plan(spec, model)) {
  if (scores_by_diffusion(spec, model)) {
    estimator_ = estimator_options(spec, model);
    check_block_windows(plan_.units, *estimator_, *model.denoiser);
    pairing_key_ = chooses_draws() ? pilot_pairing_key(*estimator_, plan_.units,
                                                       {spec.estimator.target_ci, model})
                                   : run_pairing_key(*estimator_, plan_.units);
  }
  for (const std::string& name : metric_list(spec, plan_)) {
    if (name == kNelboVariance && !estimator_)
      throw ConfigError("metrics", name, "others: the model is no diffusion model");
    if (name != kNelboVariance)
      (void)make_metric(name, metric_options(plan_, model, estimator_));  // what is unknown ends it
  }
  task_ = {plan_.task_name,   plan_.task_kind,        plan_.task_version,
           plan_.data_sha256, plan_.task_config_json, plan_.n_docs};
}

Json ScoringWorkload::identity() const {
  Json identity = Json::object();
  if (estimator_)
    identity["pairing_key"] = pairing_key_;
  return identity;
}

std::string ScoringWorkload::plan_text() const {
  const auto scorer = make_scorer(model_, estimator_);
  std::int64_t passes = 0;
  for (const ScoringUnit& unit : plan_.units) {
    for (const ScoringWindow& window : unit.windows) passes += scorer->passes(window);
  }
  return fmt::format("examples {}  tokens {}  NFE {}\n  {}; {} padding positions",
                     plan_.units.size(), plan_.scored_tokens, passes, counts_line(plan_),
                     plan_.padding_positions);
}

bool ScoringWorkload::chooses_draws() const {
  return estimator_ && spec_.estimator.target_ci > 0 && spec_.estimator.draws == 0 &&
         estimator_->draws > 1;
}

// With a target and no number of draws: the number that is cheapest, stored beside the results.
void ScoringWorkload::choose_draws(Store& store, const std::string& run_id) {
  const DrawPilot pilot =
      run_draw_pilot(*model_.denoiser, plan_.units, *estimator_, spec_.estimator.target_ci);
  estimator_->draws = pilot.draws;
  log_info("{} draws for every block (pilot of {} documents); about {} of {} documents needed{}",
           pilot.draws, pilot.documents, pilot.expected_documents, plan_.units.size(),
           pilot.reaches_target ? "" : ", which will not meet the target");
  Estimate draws;
  draws.metric = kMaskDraws;
  draws.value = static_cast<double>(pilot.draws);
  draws.n = pilot.documents;
  const MetricDefinition definition = {kMaskDraws, "draws/block", "none",
                                       "least cost for the target, from a pilot",
                                       "masks drawn for every block"};
  store.add_estimates(run_id, std::span(&draws, 1), std::span(&definition, 1));
}

void ScoringWorkload::measure(Store& store, const std::string& run_id) {
  if (chooses_draws())
    choose_draws(store, run_id);
  score_missing({spec_, model_, plan_, estimator_}, store, run_id);
}

// The number that choose_draws stored, of a run that another process measured.
void ScoringWorkload::recall_draws(Store& store, const std::string& run_id) {
  for (const Estimate& estimate : store.estimates(run_id)) {
    if (estimate.metric == kMaskDraws)
      estimator_->draws = static_cast<std::int64_t>(estimate.value);
  }
}

std::vector<AskedMetric> ScoringWorkload::metrics() const {
  std::vector<AskedMetric> asked;
  for (const std::string& name : metric_list(spec_, plan_)) asked.push_back({name, name});
  return asked;
}

Measures ScoringWorkload::estimate(Store& store, const std::string& run_id,
                                   std::span<const std::string> names) {
  if (chooses_draws())
    recall_draws(store, run_id);
  const std::vector<ExampleRow> rows = store.rows(run_id);
  const MetricOptions options = metric_options(plan_, model_, estimator_);
  Measures measures;
  for (const std::string& name : names) {
    if (name == kNelboVariance) {
      Measures variance =
          nelbo_variance_measures(*model_.denoiser, plan_, *estimator_, spec_.batch_size);
      measures.add(std::move(variance.estimates), std::move(variance.definitions));
      continue;
    }
    const std::unique_ptr<Metric> metric = make_metric(name, options);
    measures.add(metric->compute(rows), metric->definitions());
  }
  return measures;
}

}  // namespace dlm
