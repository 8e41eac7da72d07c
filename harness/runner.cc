#include "harness/runner.h"

#include <chrono>

#include <nlohmann/json.hpp>

#include "harness/base/error.h"
#include "harness/base/file.h"
#include "harness/base/log.h"
#include "harness/cli.h"
#include "harness/draw_pilot.h"
#include "harness/environment.h"
#include "harness/estimator_settings.h"
#include "harness/score_run.h"
#include "harness/window_scorer.h"
#include "metrics/factory.h"
#include "models/runtime.h"

namespace dlm {
namespace {

// What makes two runs the same run: settings that can change a number, and content instead of the
// names it came by.
Json identity_json(const PreparedRun& run) {
  const RunSpec& spec = run.spec;
  const LoadedModel& model = *run.model;
  const ScorePlan& plan = run.plan;
  Json settings = run_fields(SpecPart::kScore).to_json(spec, true);
  settings.erase("model");
  settings.erase("task");
  Json identity = {{"settings", settings},
                   {"weights", model.weights_sha256},
                   {"tokenizer", model.tokenizer == nullptr ? "" : model.tokenizer->sha256()},
                   {"task", plan.task_name},
                   {"task_version", plan.task_version},
                   {"data", plan.data_sha256},
                   {"numerics", kNumericsEpoch}};
  if (run.estimator)
    identity["pairing_key"] = run_pairing_key(*run.estimator, plan.units);
  return identity;
}

RunHeader make_header(const PreparedRun& run) {
  const RunSpec& spec = run.spec;
  const LoadedModel& model = *run.model;
  const ScorePlan& plan = run.plan;
  RunHeader header;
  header.identity_json = canonical_json(identity_json(run));
  header.run_key = sha256_hex(header.identity_json);
  header.spec_json = canonical_json(run_fields(SpecPart::kScore).to_json(spec, false));
  const ModelInfo& info = model.info();
  header.model_name = model.name;
  header.family = info.family;
  header.dtype = info.dtype;
  header.parameters = info.parameters;
  header.weights_sha256 = model.weights_sha256;
  header.tokenizer_sha256 = model.tokenizer == nullptr ? "" : model.tokenizer->sha256();
  header.model_config_json = model.config_json;
  header.task_name = plan.task_name;
  header.task_kind = plan.task_kind;
  header.task_version = plan.task_version;
  header.data_sha256 = plan.data_sha256;
  header.task_config_json = plan.task_config_json;
  header.n_docs = plan.n_docs;
  header.env_json = canonical_json(environment_json(spec.device));
  header.build_json = canonical_json(build_json());
  header.seed = spec.seed;
  header.command = command_of(spec, SpecPart::kScore, "run");
  header.smoke = spec.limit > 0;
  return header;
}

std::int64_t nanoseconds(std::chrono::steady_clock::duration duration) {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(duration).count();
}

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

MetricOptions metric_options(const PreparedRun& run,
                             const std::optional<EstimatorOptions>& estimator) {
  MetricOptions options;
  options.entropy_per_token = run.plan.entropy_per_token;
  if (estimator) {
    const LikelihoodKind kind = likelihood_kind(*estimator, run.model->denoiser->loss());
    std::string text = estimator_text(*estimator);
    if (kind == LikelihoodKind::kClipped)
      text += " (clipped: bounds nothing)";
    options.diffusion = DiffusionLikelihoodOptions{kind == LikelihoodKind::kBound, text};
  }
  return options;
}

void estimate(const PreparedRun& run, const std::optional<EstimatorOptions>& estimator,
              Store& store, const std::string& run_id) {
  const std::vector<ExampleRow> rows = store.rows(run_id);
  const MetricOptions options = metric_options(run, estimator);
  std::vector<Estimate> estimates;
  std::vector<MetricDefinition> definitions;
  const auto add = [&](const Metric& metric) {
    for (Estimate& one : metric.compute(rows)) estimates.push_back(std::move(one));
    for (MetricDefinition& one : metric.definitions()) definitions.push_back(std::move(one));
  };
  for (const std::string& name : metric_list(run.spec, run.plan)) add(*make_metric(name, options));
  store.add_estimates(run_id, estimates, definitions);
}

// With a target and no number of draws: the number that is cheapest, stored beside the results.
EstimatorOptions with_chosen_draws(const PreparedRun& run, Store& store,
                                   const std::string& run_id) {
  EstimatorOptions options = *run.estimator;
  const DrawPilot pilot =
      run_draw_pilot(*run.model->denoiser, run.plan.units, options, run.spec.estimator.target_ci);
  options.draws = pilot.draws;
  log_info("{} draws for every block (pilot of {} documents); about {} of {} documents needed{}",
           pilot.draws, pilot.documents, pilot.expected_documents, run.plan.units.size(),
           pilot.reaches_target ? "" : ", which will not meet the target");
  Estimate draws;
  draws.metric = "mask_draws";
  draws.value = static_cast<double>(pilot.draws);
  draws.n = pilot.documents;
  const MetricDefinition definition = {"mask_draws", "draws/block", "none",
                                       "least cost for the target, from a pilot",
                                       "masks drawn for every block"};
  store.add_estimates(run_id, std::span(&draws, 1), std::span(&definition, 1));
  return options;
}

bool chooses_draws(const PreparedRun& run) {
  return run.estimator && run.spec.estimator.target_ci > 0 && run.spec.estimator.draws == 0 &&
         run.estimator->draws > 1;
}

}  // namespace

PreparedRun prepare_run(const RunSpec& spec, ModelCache& models) {
  PreparedRun run;
  run.spec = spec;
  run.model = &models.load(spec);
  run.load_ns = static_cast<std::int64_t>(1e9 * models.last_load_seconds());
  run.plan = make_score_plan(spec, *run.model);
  if (scores_by_diffusion(spec, *run.model)) {
    run.estimator = estimator_options(spec, *run.model);
    check_block_windows(run.plan.units, *run.estimator, *run.model->denoiser);
  }
  for (const std::string& name : metric_list(spec, run.plan))
    (void)make_metric(name, metric_options(run, run.estimator));  // what is unknown ends it here
  run.header = make_header(run);
  return run;
}

RunHeader measurement_header(const PreparedRun& run, const std::string& what,
                             const Json& settings) {
  Json identity = identity_json(run);
  identity["measures"] = what;
  identity["measure"] = settings;
  RunHeader header = make_header(run);
  header.identity_json = canonical_json(identity);
  header.run_key = sha256_hex(header.identity_json);
  Json spec = parse_json(header.spec_json, "settings");
  spec[what] = settings;
  header.spec_json = canonical_json(spec);
  header.task_kind = what;
  return header;
}

RunResult execute_run(const PreparedRun& run, Store& store, Restart restart) {
  using Clock = std::chrono::steady_clock;
  const OpenedRun opened = store.begin_run(run.header, restart);
  RunResult result{opened.run_id, opened.state, ""};
  if (opened.state == RunState::kDone)
    return result;
  if (opened.state == RunState::kBusy) {
    result.error = "another process is measuring it now: " + opened.owner;
    return result;
  }
  const auto start = Clock::now();
  try {
    const std::optional<EstimatorOptions> estimator =
        chooses_draws(run) ? with_chosen_draws(run, store, opened.run_id) : run.estimator;
    score_missing(run, estimator, store, opened.run_id);
    estimate(run, estimator, store, opened.run_id);
  } catch (const DataError&) {
    throw;  // of the store itself: what was stored stays, and the run can be resumed
  } catch (const std::exception& error) {
    result.error = error.what();
  }
  RunEnd end;
  end.outcome = result.error.empty() ? RunOutcome::kDone : RunOutcome::kFailed;
  end.error = result.error;
  end.wall_ns = nanoseconds(Clock::now() - start);
  end.load_ns = run.load_ns;
  end.peak_rss_bytes = peak_resident_bytes();
  end.threads = threads_in_use();
  store.finish_run(opened.run_id, end);
  return result;
}

}  // namespace dlm
