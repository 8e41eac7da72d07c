// `gate` and `tag`: whether a build may land, and what it is measured against.
#include "results/gate.h"

#include <array>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <string>
#include <vector>

#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include "harness/base/error.h"
#include "harness/base/file.h"
#include "harness/base/log.h"
#include "harness/base/text.h"
#include "harness/commands/command.h"
#include "harness/commands/run_choice.h"
#include "harness/commands/store_options.h"

namespace dlm {
namespace {

constexpr const char* kText =
    "Compares the latest runs with a baseline and says whether the change may land: each metric "
    "within its margin, all of\n"
    "them judged together, so that an unchanged build is stopped in at most 5 of 100 cases. Prints "
    "Markdown for a pull\n"
    "request and keeps the verdicts in table gate. Exit code 0: passed; 3: worse; 4: undecided; "
    "5: no baseline, or\n"
    "something was not measured. results/GATE.md shows how a project adopts it.\n\n"
    "  dlmbench tag main && dlmbench gate --base main\n"
    "  dlmbench gate gate.toml --base 8a31c02 --base-db main.db >> \"$GITHUB_STEP_SUMMARY\"\n"
    "  dlmbench gate gate.toml --rounds 5 --suite speed.toml --base-program ./main/dlmbench";

GateSpec gate_spec(const ParsedOptions& options) {
  GateSpec spec;
  if (!options.positionals.empty()) {
    const std::string& path = options.positionals.front();
    spec = parse_gate(MappedFile::open(path)->text(), path);
  }
  spec.baseline = options.get("base", spec.baseline);
  for (const std::string& text : options.all("metric")) spec.metrics = split(text, ',');
  for (const std::string& text : options.all("margin")) {
    const auto equals = text.find('=');
    if (equals == std::string::npos)
      throw ConfigError("margin", text, "METRIC=NUMBER or METRIC=PERCENT%");
    (void)better_direction(text.substr(0, equals));
    spec.margins[text.substr(0, equals)] = parse_margin("margin", text.substr(equals + 1));
  }
  for (const std::string& metric : spec.metrics) (void)better_direction(metric);
  return spec;
}

std::string this_program() {
  return std::filesystem::read_symlink("/proc/self/exe").string();
}

// Runs a program to its end. Its tables are dropped: the store has them, and the gate's verdict
// comes last.
void run_to_end(const std::vector<std::string>& command) {
  std::vector<char*> arguments;
  for (const std::string& word : command) arguments.push_back(const_cast<char*>(word.c_str()));
  arguments.push_back(nullptr);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
  pid_t child = 0;
  const int failed =
      ::posix_spawn(&child, arguments[0], &actions, nullptr, arguments.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  if (failed != 0)
    throw DataError(command[0], -1, "a program that can be run", std::strerror(failed));
  int status = 0;
  if (::waitpid(child, &status, 0) != child || !WIFEXITED(status) || WEXITSTATUS(status) != 0)
    throw DataError(command[0], -1, "a run of the suite that succeeds",
                    fmt::format("wait status {}", status));
}

// The suite by both programs in turn, base first in even rounds: what drifts hits both alike.
void measure_interleaved(const ParsedOptions& options, const std::string& base_db,
                         std::int64_t rounds) {
  for (const char* needed : {"suite", "base-program"}) {
    if (!options.has(needed))
      throw ConfigError(needed, "", "is needed with --rounds");
  }
  const std::array<std::pair<std::string, std::string>, 2> sides = {
      std::pair{options.get("base-program", ""), base_db},
      std::pair{options.get("new-program", this_program()), store_path(options)}};
  for (std::int64_t round = 0; round < rounds; ++round) {
    for (std::size_t turn = 0; turn < 2; ++turn) {
      const auto& [program, db] = sides[(static_cast<std::size_t>(round) + turn) % 2];
      log_info("round {} of {}: {}", round + 1, rounds, program);
      run_to_end({program, "run", options.get("suite", ""), "--fresh", "--quiet", "--db", db});
    }
  }
}

std::int64_t rounds_of(const ParsedOptions& options) {
  const auto rounds = parse_int(options.get("rounds", "0"));
  if (!rounds || *rounds < 0 || *rounds > 1000)
    throw ConfigError("rounds", options.get("rounds", ""), "0 to 1000");
  return *rounds;
}

// Without --base after a measurement the baseline is what the base program has just measured.
void tag_measured_baseline(GateSpec& spec, const std::string& base_db) {
  if (!spec.baseline.empty())
    return;
  const auto store = Store::open(base_db, {});
  RunFilter filter;
  filter.status = "done";
  spec.baseline = "interleaved";
  store->set_tag(spec.baseline, select_runs(*store, filter));
}

int conclude(const GateSpec& spec, const ParsedOptions& options, const std::string& base_db) {
  if (spec.baseline.empty()) {
    log_warning("gate: no baseline: --base TAG, COMMIT or RUN, or `baseline` in the gate file");
    return kExitNothing;
  }
  GateResult result;
  {
    const auto fresh = open_store_read_only(options);
    const auto other = base_db.empty() ? nullptr : Store::open_read_only(base_db);
    result = run_gate(other == nullptr ? *fresh : *other, *fresh, spec, options.get("new", ""));
    if (result.pairs.empty()) {
      log_warning(fmt::format("gate: nothing in {} is tagged, built from or named '{}'",
                              other == nullptr ? fresh->path() : base_db, spec.baseline));
      return kExitNothing;
    }
  }
  fmt::print("{}", gate_markdown(result));
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
      .value("metric", "only these, separated by commas")
      .value("margin", "METRIC=NUMBER or METRIC=PERCENT%, on top of the file's")
      .value("rounds", "measure --suite so often with both programs in turn first")
      .value("suite", "what --rounds measures")
      .value("base-program", "the baseline's dlmbench for --rounds; its runs go to --base-db")
      .value("new-program", "the dlmbench to judge (default: this one)")
      .flag("dry-run", "keep no verdicts")
      .positionals(1);
  const auto options = cli.parse(args);
  if (!options)
    return kExitOk;
  check_output_format(*options);
  GateSpec spec = gate_spec(*options);
  std::string base_db = options->get("base-db", "");
  if (const std::int64_t rounds = rounds_of(*options); rounds > 0) {
    if (base_db.empty())
      throw ConfigError("base-db", "", "is needed with --rounds: the baseline's runs go there");
    measure_interleaved(*options, base_db, rounds);
    tag_measured_baseline(spec, base_db);
  }
  return conclude(spec, *options, base_db);
}

int tag_command(const Arguments& args) {
  CommandOptions cli("tag NAME [RUN...] [options]",
                     "Gives runs a name that compare, gate and the others take in place of an id; "
                     "without RUN those that the\n"
                     "filters select. The name is taken from the runs that had it.\n\n"
                     "  dlmbench tag main --status done\n  dlmbench tag best 0193a4");
  add_store_options(cli);
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
