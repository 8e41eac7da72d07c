// `run`: evaluates a suite or one combination of model and task, and their sweeps.
#include <array>
#include <cstdio>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "harness/base/error.h"
#include "harness/base/file.h"
#include "harness/base/log.h"
#include "harness/cli.h"
#include "harness/commands/command.h"
#include "harness/commands/store_options.h"
#include "harness/data_root.h"
#include "harness/read_settings.h"
#include "harness/run_rows.h"
#include "harness/runner.h"
#include "harness/sampling_workload.h"
#include "harness/suite.h"
#include "models/runtime.h"
#include "results/model_table.h"
#include "results/report.h"

namespace dlm {

namespace embedded {
extern const std::string_view default_suite;  // harness/suites/default.toml
}

namespace {

constexpr const char* kText =
    "Scores text under a model and stores every number with its uncertainty and its cost. Without "
    "a suite and without\n"
    "--model it runs the default suite. A run that was stopped goes on where it stopped; one that "
    "is done is shown from\n"
    "the store; metrics that it was not asked for before are computed from its rows, and another "
    "judge or reference reads\nthe text that is there. Lists (4,8) and ranges (8-64*2, 1-3) "
    "multiply into a sweep;\n"
    "a setting that only some of its runs read is left out of the others.\n\n"
    "  dlmbench run\n"
    "  dlmbench run my-suite.toml --batch-size 16\n"
    "  dlmbench run --model gpt2/ --task wikitext2 --packing sliding --length 1024 --stride 512\n"
    "  dlmbench run --model gpt2/,gpt2-large/ --task ptb,lambada --dtype f32,bf16 --dry-run\n"
    "  dlmbench run --model bd3lm/ --task 'samples:documents=64&length=128' --sampler confidence "
    "--block-size 4,16 \\\n    --tokens-per-step 1,2,4 --temperature 1,0.8 --judge gpt2-large/\n"
    "  dlmbench run --model LLaDA-8B-Instruct/ --task gsm8k --chat on --turns one --block-size 32 "
    "--target-ci 0.02\n"
    "  dlmbench run --model gpt2/ --task gsm8k_cot_self_consistency --samples 64 --temperature "
    "0.2\n"
    "  dlmbench run --model gpt2/ --task humaneval --samples 20 --temperature 0.8";

std::vector<SweepAxis> axes_of(const ParsedOptions& options) {
  std::vector<SweepAxis> axes;
  for (const auto& [key, text] : options.field_texts) axes.push_back(make_axis(key, text));
  return axes;
}

bool names_a_run(const std::vector<SweepAxis>& axes) {
  for (const SweepAxis& axis : axes) {
    if (axis.key == "model" || axis.key == "task")
      return true;
  }
  return false;
}

Suite load_suite(const ParsedOptions& options) {
  if (options.positionals.empty())
    return parse_suite(embedded::default_suite, "the default suite");
  const std::string& path = options.positionals.front();
  return parse_suite(MappedFile::open(path)->text(), path);
}

// A run, and the table of the suite that shows it; empty: it has lines of its own.
struct PlannedRun {
  RunSpec spec;
  std::string table;
};

struct RunPlan {
  std::vector<PlannedRun> runs;
  std::vector<SuiteTable> tables;
};

RunPlan make_run_plan(const ParsedOptions& options) {
  const auto axes = axes_of(options);
  RunPlan plan;
  if (options.positionals.empty() && names_a_run(axes)) {
    for (RunSpec& spec : expand({}, axes)) plan.runs.push_back({std::move(spec), ""});
    return plan;
  }
  Suite suite = load_suite(options);
  plan.tables = std::move(suite.tables);
  for (const SuiteEntry& entry : suite.entries) {
    auto runs = expand({}, with_overrides(entry.axes, axes));
    if (entry.needs_data && !has_data_root()) {
      log_info("skipped (no data below {}; set DLMBENCH_DATA): {}", data_root(),
               command_of(runs.front(), SpecPart::kAll, "run"));
      continue;
    }
    if (entry.needs_zoo && !has_zoo()) {
      log_info("skipped (no models/zoo here; set DLMBENCH_ZOO): {}",
               command_of(runs.front(), SpecPart::kScore, "run"));
      continue;
    }
    for (RunSpec& spec : runs) plan.runs.push_back({std::move(spec), entry.table});
  }
  return plan;
}

std::vector<RunSpec> specs_of(const std::vector<PlannedRun>& runs) {
  std::vector<RunSpec> specs;
  for (const PlannedRun& planned : runs) specs.push_back(planned.spec);
  return specs;
}

// What is left of the planned runs when each is without the settings that it does not read.
class PlannedSweep {
 public:
  explicit PlannedSweep(const std::vector<PlannedRun>& runs) : sweep_(specs_of(runs)) {}

  // Nothing for a run that is one before it again, once what told them apart is left out.
  std::optional<PreparedRun> prepare(const PlannedRun& planned, ModelCache& models) {
    const RunSpec& asked = planned.spec;
    RunSpec spec = asked;
    if (!asked.task.empty())
      spec = sweep_.read_part(asked, models.load(asked), settings_of_task(asked.task));
    PreparedRun run = prepare_run(spec, models);
    const bool is_cut =
        command_of(spec, SpecPart::kAll, "run") != command_of(asked, SpecPart::kAll, "run");
    const auto [before, is_new] = cut_.emplace(planned.table + run.header.run_key, is_cut);
    if (is_new || !(is_cut || before->second))
      return run;
    log_info("{}: the same run as one before it", command_of(asked, SpecPart::kAll, "run"));
    return std::nullopt;
  }

  void warn_of_unread() const { sweep_.warn_of_unread(); }

 private:
  Sweep sweep_;
  std::map<std::string, bool> cut_;  // whether settings were left out, by table and run key
};

// A few lines a run: what it is and how much work.
int dry_run(const std::vector<PlannedRun>& runs) {
  ModelCache models;
  PlannedSweep sweep(runs);
  std::size_t count = 0;
  for (const PlannedRun& planned : runs) {
    const std::optional<PreparedRun> run = sweep.prepare(planned, models);
    if (!run)
      continue;
    ++count;
    fmt::print("{}  key {}  {}\n", run->header.command, run->header.run_key.substr(0, 12),
               run->workload->plan_text());
  }
  sweep.warn_of_unread();
  fmt::print("{} runs\n", count);
  return kExitOk;
}

// The runs of one invocation; the store is opened when the first run turned out to be possible.
class Session {
 public:
  Session(const ParsedOptions& options, const RunPlan& plan, std::span<const RunSpec> generating)
      : options_(options),
        restart_(options.has("fresh") ? Restart::kFresh : Restart::kResume),
        tables_(plan.tables),
        sweep_(plan.runs),
        rows_(generating) {}

  void run(const PlannedRun& planned) {
    const std::optional<PreparedRun> prepared = sweep_.prepare(planned, models_);
    if (prepared)
      execute(planned, *prepared);
  }

  // One run of a sweep that can not start, or whose rows the store does not take, does not stop the
  // others.
  void run_or_note(const PlannedRun& planned) {
    std::optional<PreparedRun> prepared;
    try {
      prepared = sweep_.prepare(planned, models_);
    } catch (const ConfigError& error) {
      note_refused(planned.spec, error);
    } catch (const DataError& error) {
      note_refused(planned.spec, error);
    }
    try {
      if (prepared)
        execute(planned, *prepared);
    } catch (const ConfigError& error) {
      note(planned.spec, error);
    } catch (const DataError& error) {
      note(planned.spec, error);
    }
  }

  int finish() {
    sweep_.warn_of_unread();
    if (store_ != nullptr)
      keep_refused();
    if (!run_ids_.empty()) {
      const Table table = estimates_table(*store_, run_ids_);
      fmt::print("{}", render(table, options_.get("output", "md")));
    }
    for (const SuiteTable& table : tables_) print_table(table);
    if (is_bad_table_ || (store_ == nullptr && !refused_.empty()))
      return kExitUsage;
    return failed_ || !refused_.empty() ? kExitRunFailed : kExitOk;
  }

 private:
  struct Refused {
    RunHeader header;
    std::string error;
  };

  void execute(const PlannedRun& planned, const PreparedRun& prepared) {
    if (store_ == nullptr)
      store_ = open_store(options_);
    const RunResult outcome = execute_run(prepared, *store_, restart_);
    if (is_in_table(planned))
      table_runs_[planned.table].push_back(outcome.run_id);
    else if (!prints_rows(prepared))
      run_ids_.push_back(outcome.run_id);
    else if (outcome.error.empty())
      rows_.print(*store_, outcome.run_id, prepared.spec);
    if (!outcome.error.empty()) {
      failed_ = true;
      log_warning(fmt::format("run {} failed: {}", outcome.run_id, outcome.error));
    } else if (outcome.state == RunState::kDone) {
      log_info("{}: stored already (run {}; --fresh measures again)", prepared.header.command,
               outcome.run_id);
    }
    log_info("repeat: {}", prepared.header.command);
  }

  // For people; programs get every estimate of every run.
  bool is_in_table(const PlannedRun& planned) const {
    return !planned.table.empty() && options_.get("output", "md") == "md";
  }

  void print_table(const SuiteTable& table) {
    const auto runs = table_runs_.find(table.name);
    if (runs == table_runs_.end())
      return;
    try {
      fmt::print("\n{}", render(model_table(*store_, runs->second, table.spec), "md"));
    } catch (const ConfigError& error) {
      is_bad_table_ = true;
      log_warning(error.what());
    }
  }

  // For people, text of its own is a line as it comes; programs get every estimate at the end.
  bool prints_rows(const PreparedRun& run) const {
    return run.workload->settings() == SpecPart::kSample && options_.get("output", "md") == "md";
  }

  void note_refused(const RunSpec& spec, const Error& error) {
    refused_.push_back({refused_header(spec, models_), error.what()});
    log_warning(fmt::format("{}: {}", command_of(spec, SpecPart::kAll, "run"), error.what()));
  }

  // A row each, once, with its error. Where no run was possible there is no store, and none is
  // made.
  void keep_refused() {
    for (const Refused& one : refused_) {
      const std::array<Cell, 2> parameters = {one.header.run_key, one.error};
      const Table before = store_->query(
          "SELECT run_id FROM run WHERE run_key=? AND error=? AND status='failed'", parameters);
      if (!before.rows.empty())
        continue;
      const OpenedRun opened = store_->begin_run(one.header, restart_);
      if (opened.state != RunState::kBusy)
        store_->finish_run(opened.run_id, {.outcome = RunOutcome::kFailed, .error = one.error});
    }
  }

  void note(const RunSpec& spec, const Error& error) {
    failed_ = true;
    log_warning(fmt::format("{}: {}", command_of(spec, SpecPart::kAll, "run"), error.what()));
  }

  const ParsedOptions& options_;
  Restart restart_;
  ModelCache models_;
  std::unique_ptr<Store> store_;
  std::vector<SuiteTable> tables_;
  PlannedSweep sweep_;
  std::map<std::string, std::vector<std::string>> table_runs_;  // by the table's name
  RunRows rows_;
  std::vector<std::string> run_ids_;
  std::vector<Refused> refused_;
  bool failed_ = false;
  bool is_bad_table_ = false;
};

}  // namespace

int run_command(const Arguments& args) {
  CommandOptions cli("run [SUITE.toml] [settings]", kText);
  add_store_options(cli);
  cli.flag("fresh", "measure again even where the store has the run")
      .flag("dry-run", "show the runs and their work, run nothing")
      .flag("quiet,q", "no progress and no log")
      .fields(SpecPart::kAll)
      .positionals(1);
  const auto options = cli.parse(args);
  if (!options)
    return kExitOk;
  check_output_format(*options);
  if (options->has("quiet"))
    set_log_level(LogLevel::kQuiet);
  const RunPlan plan = make_run_plan(*options);
  if (plan.runs.empty())
    throw ConfigError("run", "", "nothing to run");
  set_threads(plan.runs.front().spec.threads);
  if (options->has("dry-run"))
    return dry_run(plan.runs);
  std::vector<RunSpec> generating;
  for (const PlannedRun& planned : plan.runs) {
    if (is_sampling_task(planned.spec.task) && planned.table.empty())
      generating.push_back(planned.spec);
  }
  Session session(*options, plan, generating);
  if (plan.runs.size() == 1) {
    session.run(plan.runs.front());
  } else {
    for (const PlannedRun& planned : plan.runs) session.run_or_note(planned);
  }
  return session.finish();
}

}  // namespace dlm
