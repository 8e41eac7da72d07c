#include "harness/scorers/scored_run.h"

#include <cstdio>

#include <nlohmann/json.hpp>

#include "harness/base/file.h"
#include "harness/base/log.h"
#include "harness/commands/command.h"
#include "harness/commands/store_options.h"
#include "harness/environment.h"
#include "models/runtime.h"
#include "results/report.h"

namespace dlm {
namespace {

RunHeader header_of(const ScoredRun& run) {
  RunHeader header;
  header.identity_json = canonical_json({{"settings", run.settings},
                                         {"generations", run.generations_sha256},
                                         {"task", run.task_name},
                                         {"task_version", run.task_version},
                                         {"data", run.data_sha256},
                                         {"seed", run.seed},
                                         {"numerics", kNumericsEpoch}});
  header.run_key = sha256_hex(header.identity_json);
  header.spec_json = canonical_json(run.settings);
  header.model_name = run.model_name;
  header.family = run.model.family;
  header.dtype = run.model.dtype;
  header.parameters = run.model.parameters;
  header.tokenizer_sha256 = run.model.tokenizer_sha256;
  header.weights_sha256 =
      run.model.weights_sha256.empty() ? run.generations_sha256 : run.model.weights_sha256;
  header.model_config_json = "{}";
  header.task_name = run.task_name;
  header.task_kind = "generations";
  header.task_version = run.task_version;
  header.data_sha256 = run.data_sha256;
  header.task_config_json = "{}";
  header.n_docs = run.n_docs > 0 ? run.n_docs : std::ssize(run.rows);
  Json environment = environment_json("cpu");
  if (run.environment.is_object())
    environment.update(run.environment);
  header.env_json = canonical_json(environment);
  header.build_json = canonical_json(build_json());
  header.seed = run.seed;
  header.command = run.command;
  header.smoke = run.smoke;
  return header;
}

void store_measured(Store& store, const std::string& run_id, const FinishedRun& run) {
  // Rows and run end in separate transactions: what a killed process stored is not added twice.
  if (store.rows(run_id).empty())
    store.add_rows(run_id, run.rows);
  store.add_estimates(run_id, run.estimates, run.definitions);
  store.add_curve(run_id, run.curve);
  RunEnd end;
  end.peak_rss_bytes = peak_resident_bytes();
  end.threads = threads_in_use();
  end.wall_ns = run.wall_ns;
  store.finish_run(run_id, end);
}

}  // namespace

void add_scored_run_options(CommandOptions& cli) {
  add_store_options(cli);
  cli.flag("fresh", "score again even where the store has the result");
}

int record_finished_runs(const ParsedOptions& options, std::span<const FinishedRun> runs) {
  check_output_format(options);
  const auto store = open_store(options);
  const Restart restart = options.has("fresh") ? Restart::kFresh : Restart::kResume;
  std::vector<std::string> ids;
  bool is_busy = false;
  for (const FinishedRun& run : runs) {
    const OpenedRun opened = store->begin_run(run.header, restart);
    if (opened.state == RunState::kBusy) {
      log_warning(fmt::format("another process is storing it now: {}", opened.owner));
      is_busy = true;
      continue;
    }
    ids.push_back(opened.run_id);
    if (opened.state == RunState::kDone)
      log_info("stored already (run {}; --fresh measures again)", opened.run_id);
    else
      store_measured(*store, opened.run_id, run);
  }
  if (!ids.empty())
    fmt::print("{}", render(estimates_table(*store, ids), options.get("output", "md")));
  return is_busy ? kExitRunFailed : kExitOk;
}

int record_finished_run(const ParsedOptions& options, const FinishedRun& run) {
  return record_finished_runs(options, std::span(&run, 1));
}

int record_scored_run(const ParsedOptions& options, const ScoredRun& run) {
  FinishedRun finished{header_of(run), run.rows, run.estimates, run.definitions, 0};
  for (const ExampleRow& row : run.rows) finished.wall_ns += row.wall_ns;
  return record_finished_run(options, finished);
}

bool print_stored_run(const ParsedOptions& options, const ScoredRun& run) {
  check_output_format(options);
  if (options.has("fresh"))
    return false;
  const auto store = open_store(options);
  const std::vector<Cell> key{header_of(run).run_key};
  const Table found = store->query(
      "SELECT run_id FROM run WHERE run_key = ? AND status = 'done' AND superseded_by IS NULL "
      "LIMIT 1",
      key);
  if (found.rows.empty())
    return false;
  const std::vector<std::string> ids{std::get<std::string>(found.rows[0][0].value)};
  log_info("stored already (run {}; --fresh scores again)", ids[0]);
  fmt::print("{}", render(estimates_table(*store, ids), options.get("output", "md")));
  return true;
}

}  // namespace dlm
