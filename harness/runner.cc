#include "harness/runner.h"

#include <chrono>
#include <set>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include "harness/base/error.h"
#include "harness/base/file.h"
#include "harness/base/log.h"
#include "harness/cli.h"
#include "harness/environment.h"
#include "harness/read_settings.h"
#include "harness/sampling_workload.h"
#include "harness/scoring_workload.h"
#include "harness/text_reuse.h"
#include "models/runtime.h"

namespace dlm {
namespace {

// Which workload a task is, by its name.
std::unique_ptr<Workload> make_workload(const RunSpec& spec, const LoadedModel& model,
                                        ModelCache& models) {
  if (is_sampling_task(spec.task))
    return make_sampling_workload(spec, model, models);
  return std::make_unique<ScoringWorkload>(spec, model);
}

// What makes two runs the same run: settings that can change a number, and content instead of the
// names it came by.
Json identity_json(const PreparedRun& run) {
  const LoadedModel& model = *run.model;
  const TaskIdentity& task = run.workload->task();
  Json settings = run_fields(run.workload->settings()).to_json(run.spec, true);
  settings.erase("model");
  settings.erase("task");
  Json identity = {{"settings", settings},
                   {"weights", model.weights_sha256},
                   {"tokenizer", model.tokenizer == nullptr ? "" : model.tokenizer->sha256()},
                   {"task", task.name},
                   {"task_version", task.version},
                   {"data", task.data_sha256},
                   {"numerics", kNumericsEpoch}};
  identity.update(run.workload->identity());
  return identity;
}

void set_model(const LoadedModel& model, RunHeader& header) {
  const ModelInfo& info = model.info();
  header.model_name = model.name;
  header.family = info.family;
  header.dtype = info.dtype;
  header.parameters = info.parameters;
  header.weights_sha256 = model.weights_sha256;
  header.tokenizer_sha256 = model.tokenizer == nullptr ? "" : model.tokenizer->sha256();
  header.model_config_json = model.config_json;
}

// Where and how it runs.
void set_circumstances(const RunSpec& spec, SpecPart part, RunHeader& header) {
  header.env_json = canonical_json(environment_json(spec.device));
  header.build_json = canonical_json(build_json());
  header.seed = spec.seed;
  header.command = command_of(spec, part, "run");
  header.smoke = spec.limit > 0;
}

RunHeader make_header(const PreparedRun& run) {
  const RunSpec& spec = run.spec;
  const TaskIdentity& task = run.workload->task();
  const SpecPart part = run.workload->settings();
  RunHeader header;
  header.identity_json = canonical_json(identity_json(run));
  header.run_key = sha256_hex(header.identity_json);
  header.spec_json = canonical_json(run_fields(part).to_json(spec, false));
  set_model(*run.model, header);
  header.task_name = task.name;
  header.task_kind = task.kind;
  header.task_version = task.version;
  header.data_sha256 = task.data_sha256;
  header.task_config_json = task.config_json;
  header.n_docs = task.n_docs;
  set_circumstances(spec, part, header);
  return header;
}

std::int64_t nanoseconds(std::chrono::steady_clock::duration duration) {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(duration).count();
}

std::vector<std::string> names_of(const std::vector<AskedMetric>& metrics) {
  std::vector<std::string> names;
  for (const AskedMetric& metric : metrics) names.push_back(metric.name);
  return names;
}

// Metrics that a finished run was not asked for in its time, from its rows.
void add_missing_metrics(const PreparedRun& run, Store& store, const std::string& run_id) {
  std::set<std::string> known;
  for (const Estimate& estimate : store.estimates(run_id)) known.insert(estimate.metric);
  std::vector<AskedMetric> missing = run.workload->metrics();
  std::erase_if(missing, [&](const AskedMetric& one) { return known.contains(one.estimate); });
  if (missing.empty())
    return;
  const std::vector<std::string> names = names_of(missing);
  const Measures measures = run.workload->estimate(store, run_id, names);
  store.add_estimates(run_id, measures.estimates, measures.definitions);
  log_info("{} of run {}: from its stored rows", fmt::join(names, ", "), run_id);
}

OpenedRun begin(const PreparedRun& run, Store& store, Restart restart) {
  RunHeader header = run.header;
  if (restart == Restart::kResume)
    header.rows_of = find_run_of_same_text(header, store);
  const OpenedRun opened = store.begin_run(header, restart);
  if (opened.state == RunState::kFresh && !header.rows_of.empty())
    log_info("{}: the text that run {} wrote (--fresh writes it anew)", opened.run_id,
             header.rows_of);
  return opened;
}

}  // namespace

PreparedRun prepare_run(const RunSpec& spec, ModelCache& models) {
  const LoadedModel& model = models.load(spec);
  const double seconds = models.last_load_seconds();
  if (!spec.task.empty())
    check_settings(spec, model, settings_of_task(spec.task));
  PreparedRun run = prepared_with(spec, model, make_workload(spec, model, models));
  run.load_ns = static_cast<std::int64_t>(1e9 * seconds);
  return run;
}

PreparedRun prepared_with(const RunSpec& spec, const LoadedModel& model,
                          std::unique_ptr<Workload> workload) {
  PreparedRun run;
  run.spec = spec;
  run.model = &model;
  run.workload = std::move(workload);
  run.header = make_header(run);
  return run;
}

RunHeader refused_header(const RunSpec& spec, ModelCache& models) {
  RunHeader header;
  header.model_name = spec.model;
  header.dtype = spec.dtype;
  header.model_config_json = "{}";
  try {
    set_model(models.load(spec), header);
  } catch (const ConfigError&) {  // then it is the model that is refused
  } catch (const DataError&) {
  }
  header.spec_json = canonical_json(run_fields().to_json(spec, false));
  header.identity_json = canonical_json({{"refused", parse_json(header.spec_json, "settings")},
                                         {"weights", header.weights_sha256},
                                         {"numerics", kNumericsEpoch}});
  header.run_key = sha256_hex(header.identity_json);
  header.task_name = spec.task;
  header.task_kind = "refused";
  header.task_config_json = "{}";
  set_circumstances(spec, SpecPart::kAll, header);
  return header;
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
  const OpenedRun opened = begin(run, store, restart);
  RunResult result{opened.run_id, opened.state, ""};
  if (opened.state == RunState::kDone) {
    add_missing_metrics(run, store, opened.run_id);
    return result;
  }
  if (opened.state == RunState::kBusy) {
    result.error = "another process is measuring it now: " + opened.owner;
    return result;
  }
  const auto start = Clock::now();
  try {
    run.workload->measure(store, opened.run_id);
    const Measures measures =
        run.workload->estimate(store, opened.run_id, names_of(run.workload->metrics()));
    store.add_estimates(opened.run_id, measures.estimates, measures.definitions);
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
