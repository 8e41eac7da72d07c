// `gate` and `tag`: whether a build may land, and what it is measured against.
#include "results/gate.h"

#include <array>
#include <cstdio>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "harness/base/error.h"
#include "harness/base/file.h"
#include "harness/base/log.h"
#include "harness/base/text.h"
#include "harness/commands/child_program.h"
#include "harness/commands/command.h"
#include "harness/commands/run_choice.h"
#include "harness/commands/store_options.h"
#include "results/run_names.h"

namespace dlm {
namespace {

constexpr const char* kText =
    "Compares the latest runs with a baseline and says whether the change may land: each metric "
    "within its margin, all of\n"
    "them judged together, so that an unchanged build is stopped in at most 5 of 100 cases. Prints "
    "Markdown for a pull\n"
    "request, or tables for programs (-o json), and keeps the verdicts in table gate. Exit code 0: "
    "passed; 3: worse;\n"
    "4: undecided; 5: no baseline, or something was not measured. With --rounds both programs are "
    "measured in turn first, and on "
    "while a speed is undecided,\n"
    "up to --max-rounds. results/GATE.md shows how a project adopts it.\n\n"
    "  dlmbench tag main && dlmbench gate --base main\n"
    "  dlmbench gate gate.toml --base 8a31c02 --base-db main.db >> \"$GITHUB_STEP_SUMMARY\"\n"
    "  dlmbench gate gate.toml --rounds 8 --suite speed.toml --base-program ./main/dlmbench";

std::int64_t whole_number(const ParsedOptions& options, const char* name, std::int64_t fallback) {
  const std::string text = options.get(name, fmt::format("{}", fallback));
  const auto number = parse_int(text);
  if (!number || *number < 0 || *number > 1000)
    throw ConfigError(name, text, "0 to 1000");
  return *number;
}

GateSpec gate_spec(const ParsedOptions& options) {
  GateSpec spec;
  if (!options.positionals.empty()) {
    const std::string& path = options.positionals.front();
    spec = parse_gate(MappedFile::open(path)->text(), path);
  }
  spec.baseline = options.get("base", spec.baseline);
  if (options.has("metric"))
    spec.metrics.clear();
  for (const std::string& text : options.all("metric")) {
    for (const std::string& name : split(text, ',')) spec.metrics.push_back(name);
  }
  for (const std::string& text : options.all("margin")) {
    const auto equals = text.find('=');
    if (equals == std::string::npos)
      throw ConfigError("margin", text, "METRIC=NUMBER or METRIC=PERCENT%");
    (void)better_direction(text.substr(0, equals));
    spec.margins[text.substr(0, equals)] = parse_margin("margin", text.substr(equals + 1));
  }
  for (const std::string& metric : spec.metrics) (void)better_direction(metric);
  spec.max_rounds = whole_number(options, "max-rounds", spec.max_rounds);
  return spec;
}

// What a gate measures itself: one suite by two programs, each into its own store.
struct Rounds {
  std::string suite;
  std::array<std::pair<std::string, std::string>, 2> sides;  // base, new: program and store
};

Rounds rounds_of(const ParsedOptions& options, const std::string& base_db) {
  for (const char* needed : {"suite", "base-program", "base-db"}) {
    if (!options.has(needed))
      throw ConfigError(needed, "", "is needed with --rounds");
  }
  std::error_code ignored;
  if (base_db == store_path(options) ||
      std::filesystem::equivalent(base_db, store_path(options), ignored))
    throw ConfigError("base-db", base_db, "must be another store than --db with --rounds");
  return {options.get("suite", ""),
          {std::pair{options.get("base-program", ""), base_db},
           std::pair{options.get("new-program", this_program()), store_path(options)}}};
}

void refuse_options_of_rounds(const ParsedOptions& options) {
  for (const char* name : {"suite", "base-program", "new-program", "max-rounds"}) {
    if (options.has(name))
      throw ConfigError(name, options.get(name, ""),
                        "is read with --rounds N only: it says what is measured");
  }
}

// The suite by both programs, base first in even rounds: what drifts hits both alike.
void measure_round(const Rounds& rounds, std::int64_t round) {
  for (std::size_t turn = 0; turn < 2; ++turn) {
    const auto& [program, db] = rounds.sides[(static_cast<std::size_t>(round) + turn) % 2];
    log_info("round {}: {}", round + 1, program);
    const int code = run_to_end({program, "run", rounds.suite, "--fresh", "--quiet", "--db", db});
    if (code != 0)
      throw DataError(program, -1, "a run of the suite that succeeds",
                      fmt::format("exit code {}", code));
  }
}

std::string latest_run(const std::string& db) {
  if (!std::filesystem::exists(db))
    return "";
  const Table latest = open_store_read_only(db)->query("SELECT coalesce(max(run_id),'') FROM run");
  return std::get<std::string>(latest.rows.at(0).at(0).value);
}

// Without --base after a measurement the baseline is what the base program has just measured.
void tag_measured_baseline(GateSpec& spec, const std::string& base_db,
                           const std::string& begun_after) {
  constexpr const char* kTag = "interleaved";
  if (!spec.baseline.empty() && spec.baseline != kTag)
    return;
  const auto store = Store::open(base_db, {});
  RunFilter filter;
  filter.status = "done";
  std::vector<std::string> measured = select_runs(*store, filter);
  std::erase_if(measured, [&](const std::string& run) { return run <= begun_after; });
  spec.baseline = kTag;
  store->set_tag(spec.baseline, measured);
}

GateResult judged(const GateSpec& spec, const ParsedOptions& options, const std::string& base_db,
                  const GateRuns& runs) {
  const auto fresh = open_store_read_only(options);
  const auto other = base_db.empty() ? nullptr : open_store_read_only(base_db);
  return run_gate(other == nullptr ? *fresh : *other, *fresh, spec, runs);
}

GateResult measured_and_judged(GateSpec& spec, const ParsedOptions& options,
                               const std::string& base_db, std::int64_t first) {
  const Rounds rounds = rounds_of(options, base_db);
  const std::vector<std::int64_t> looks = rounds_to_look_at(first, spec.max_rounds);
  const GateRuns runs{options.get("new", ""), latest_run(base_db), latest_run(store_path(options)),
                      std::ssize(looks)};
  GateResult result;
  std::int64_t measured = 0;
  for (const std::int64_t look : looks) {
    for (; measured < look; ++measured) measure_round(rounds, measured);
    tag_measured_baseline(spec, base_db, runs.begun_after_base);
    result = judged(spec, options, base_db, runs);
    if (!needs_more_rounds(result))
      break;
    log_info("speed is undecided after {} rounds of at most {}", measured, looks.back());
  }
  return result;
}

int conclude(const GateResult& result, const ParsedOptions& options, const std::string& base_db) {
  if (result.pairs.empty()) {
    const std::string& path = base_db.empty() ? store_path(options) : base_db;
    const std::string near = nearest_run_name(*open_store_read_only(path), result.baseline);
    log_warning(fmt::format("gate: nothing in {} is tagged, built from or named '{}'{}", path,
                            result.baseline,
                            near.empty() ? "" : fmt::format("; did you mean '{}'?", near)));
    return kExitNothing;
  }
  const std::string format = options.get("output", "md");
  fmt::print("{}", format == "md" ? gate_markdown(result) : render(gate_tables(result), format));
  if (!options.has("dry-run")) {
    const auto where = base_db.empty() ? BaselineStore::kSame : BaselineStore::kOther;
    open_store(options)->add_verdicts(gate_verdicts(result, where));
  }
  return result.exit_code;
}

}  // namespace

int gate_command(const Arguments& args) {
  CommandOptions cli("gate [GATE.toml] [options]", kText);
  add_store_options(cli);
  cli.value("base", "the baseline: a tag, a git commit or a run")
      .value("base-db", "the store that holds the baseline (default: the same)")
      .value("new", "the runs to judge: a tag, a git commit or a run (default: the latest)")
      .value("metric", "only these, separated by commas; 5 where no run has one of them")
      .value("margin", "METRIC=NUMBER or METRIC=PERCENT%, on top of the file's")
      .value("rounds", "measure --suite with both programs in turn first, at least so often")
      .value("max-rounds", "and at most so often while a speed is undecided (default 40)")
      .value("suite", "what --rounds measures: a suite file")
      .value("base-program", "the baseline's dlmbench for --rounds; its runs go to --base-db")
      .value("new-program", "the dlmbench to judge (default: this one)")
      .flag("dry-run", "keep no verdicts")
      .positionals(1);
  const auto options = cli.parse(args);
  if (!options)
    return kExitOk;
  check_output_format(*options);
  GateSpec spec = gate_spec(*options);
  const std::string base_db = options->get("base-db", "");
  const std::int64_t first = whole_number(*options, "rounds", 0);
  if (first > 0)
    return conclude(measured_and_judged(spec, *options, base_db, first), *options, base_db);
  refuse_options_of_rounds(*options);
  if (spec.baseline.empty()) {
    log_warning("gate: no baseline: --base TAG, COMMIT or RUN, or `baseline` in the gate file");
    return kExitNothing;
  }
  const GateRuns runs{options->get("new", "")};
  return conclude(judged(spec, *options, base_db, runs), *options, base_db);
}

int tag_command(const Arguments& args) {
  CommandOptions cli("tag NAME [RUN...] [options]",
                     "Gives runs a name that compare, gate and the others take in place of an id; "
                     "without RUN those that the\n"
                     "filters select. The name is taken from the runs that had it.\n\n"
                     "  dlmbench tag main --status done\n  dlmbench tag best 0193a4");
  add_db_option(cli);
  add_filter_options(cli);
  cli.positionals(100000);
  auto options = cli.parse(args);
  if (!options)
    return kExitOk;
  if (options->positionals.empty())
    throw ConfigError("tag", "", "needs a name: dlmbench tag NAME [RUN...]");
  const std::string name = options->positionals.front();
  options->positionals.erase(options->positionals.begin());
  if (!options->has("status") && options->positionals.empty())
    options->values["status"] = {"done"};
  open_store_read_only(*options);  // a missing store is an error, not a new one
  const auto store = open_store(*options);
  const auto ids = chosen_runs(*store, *options);
  if (ids.empty())
    throw ConfigError("tag", name, "no run is selected");
  store->set_tag(name, ids);
  log_info("{} names {} runs", name, ids.size());
  return kExitOk;
}

}  // namespace dlm
