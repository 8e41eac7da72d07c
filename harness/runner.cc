#include "harness/runner.h"

#include <chrono>
#include <cmath>
#include <set>

#include <nlohmann/json.hpp>

#include "harness/base/error.h"
#include "harness/base/file.h"
#include "harness/base/log.h"
#include "harness/base/stats.h"
#include "harness/cli.h"
#include "harness/environment.h"
#include "harness/progress.h"
#include "harness/score_loop.h"
#include "metrics/factory.h"
#include "metrics/truth.h"
#include "models/runtime.h"

namespace dlm {
namespace {

// What makes two runs the same run: settings that can change a number, and content instead of the
// names it came by.
Json identity_json(const RunSpec& spec, const LoadedModel& model, const ScorePlan& plan) {
  Json settings = run_fields(SpecPart::kScore).to_json(spec, true);
  settings.erase("model");
  settings.erase("task");
  return {{"settings", settings},
          {"weights", model.weights_sha256},
          {"tokenizer", model.tokenizer == nullptr ? "" : model.tokenizer->sha256()},
          {"task", plan.task_name},
          {"task_version", plan.task_version},
          {"data", plan.data_sha256},
          {"numerics", kNumericsEpoch}};
}

RunHeader make_header(const RunSpec& spec, const LoadedModel& model, const ScorePlan& plan) {
  RunHeader header;
  header.identity_json = canonical_json(identity_json(spec, model, plan));
  header.run_key = sha256_hex(header.identity_json);
  header.spec_json = canonical_json(run_fields(SpecPart::kScore).to_json(spec, false));
  const ModelInfo& info = model.model->info();
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

std::string live_note(const RunningRatio& running) {
  const auto estimate = running.estimate();
  if (!estimate)
    return "no document finished yet";
  const auto half = running.half_width();
  return half ? fmt::format("nll {:.4f} ± {:.4f}", estimate->value, *half)
              : fmt::format("nll {:.4f}", estimate->value);
}

// "auto" is every likelihood metric that the task has a size for: documents drawn from a source
// have no text.
std::vector<std::string> metric_list(const RunSpec& spec, const ScorePlan& plan) {
  if (spec.metrics != std::vector<std::string>{"auto"})
    return spec.metrics;
  if (plan.task_kind == "draws")
    return {"nll", "perplexity"};
  return metric_names();
}

void score_missing(const PreparedRun& run, Store& store, const std::string& run_id) {
  std::set<std::string> done;
  RunningRatio running;
  std::int64_t tokens = 0;
  for (const ExampleRow& row : store.rows(run_id)) {
    done.insert(row.doc_id);
    running.add(row.nll, static_cast<double>(row.tokens));
    tokens += row.tokens;
  }
  if (!done.empty()) {
    log_info("resuming {}: {} of {} examples are stored", run_id, done.size(),
             run.plan.units.size());
  }
  Progress progress(fmt::format("{} on {}", run.header.model_name, run.plan.task_name), "tokens",
                    static_cast<double>(tokens), static_cast<double>(run.plan.scored_tokens));
  const auto batches = make_batches(run.plan.units, run.spec.batch_size);
  score_units(*run.model->model, run.plan.units, batches, done,
              [&](std::span<const ExampleRow> rows, std::int64_t scored) {
                if (!rows.empty())
                  store.add_rows(run_id, rows);
                for (const ExampleRow& row : rows)
                  running.add(row.nll, static_cast<double>(row.tokens));
                tokens += scored;
                progress.update(static_cast<double>(tokens), live_note(running));
              });
  synchronise(run.spec.device);
}

void estimate(const PreparedRun& run, Store& store, const std::string& run_id) {
  const std::vector<ExampleRow> rows = store.rows(run_id);
  std::vector<Estimate> estimates;
  std::vector<MetricDefinition> definitions;
  const auto add = [&](const Metric& metric) {
    for (Estimate& one : metric.compute(rows)) estimates.push_back(std::move(one));
    for (MetricDefinition& one : metric.definitions()) definitions.push_back(std::move(one));
  };
  for (const std::string& name : metric_list(run.spec, run.plan)) add(*make_metric(name));
  if (run.plan.entropy_per_token)
    add(*make_truth_metric(*run.plan.entropy_per_token));
  store.add_estimates(run_id, estimates, definitions);
}

}  // namespace

PreparedRun prepare_run(const RunSpec& spec, ModelCache& models) {
  PreparedRun run;
  run.spec = spec;
  run.model = &models.load(spec);
  run.load_ns = static_cast<std::int64_t>(1e9 * models.last_load_seconds());
  run.plan = make_score_plan(spec, *run.model);
  for (const std::string& name : metric_list(spec, run.plan))
    (void)make_metric(name);  // an unknown name ends it here
  run.header = make_header(spec, *run.model, run.plan);
  return run;
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
    score_missing(run, store, opened.run_id);
    estimate(run, store, opened.run_id);
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
