// `compare`: whether two stored runs differ.
#include "results/compare.h"

#include <cstdio>
#include <string>

#include "harness/base/error.h"
#include "harness/base/log.h"
#include "harness/base/text.h"
#include "harness/commands/command.h"
#include "harness/commands/run_choice.h"
#include "harness/commands/store_options.h"

namespace dlm {
namespace {

constexpr const char* kText =
    "Whether run B differs from run A, paired document by document: the difference with its 95 % "
    "interval, a test\n"
    "(exact McNemar for right and wrong, paired t otherwise, Mann-Whitney for speed), p by Holm "
    "over the metrics, and a\n"
    "verdict: better, worse, same (shown to lie within the margin) or ambiguous, with the number "
    "of documents that would\n"
    "decide it. A difference of speed needs both runs repeated at least 4 times (--fresh), or the "
    "machine's noise floor,\n"
    "which 3 runs of one thing tell. Exit code 0: none worse; 3: worse; 4: ambiguous; 5: nothing "
    "in common.\n\n"
    "  dlmbench compare 0193a4 0193a7\n"
    "  dlmbench compare 0193a4 0193a7 --metric nll --margin nll=0.01 -o json";

void take_margins(const ParsedOptions& options, CompareOptions& compare) {
  for (const std::string& text : options.all("margin")) {
    const auto equals = text.find('=');
    if (equals == std::string::npos)
      throw ConfigError("margin", text, "METRIC=NUMBER or METRIC=PERCENT%");
    const std::string metric = text.substr(0, equals);
    (void)better_direction(metric);
    compare.margins[metric] = parse_margin("margin", text.substr(equals + 1));
  }
}

CompareOptions compare_options(const ParsedOptions& options) {
  CompareOptions compare;
  for (const std::string& text : options.all("metric")) {
    for (const std::string& name : split(text, ',')) compare.metrics.push_back(name);
  }
  take_margins(options, compare);
  compare.only_common = options.has("common");
  return compare;
}

}  // namespace

int compare_command(const Arguments& args) {
  CommandOptions cli("compare A B [options]", kText);
  add_store_options(cli);
  cli.value("db-b", "the store that holds B (default: the same)")
      .value("metric", fmt::format("only these: {}", fmt::join(comparable_metrics(), ", ")))
      .value("margin", "METRIC=NUMBER or METRIC=PERCENT%: the smallest difference that matters")
      .flag("common", "compare the documents in common where the data differ")
      .positionals(2);
  const auto options = cli.parse(args);
  if (!options)
    return kExitOk;
  check_output_format(*options);
  if (options->positionals.size() != 2)
    throw ConfigError("compare", fmt::format("{} runs", options->positionals.size()),
                      "two are needed: dlmbench compare A B");
  const CompareOptions compare = compare_options(*options);
  const auto store_a = open_store_read_only(*options);
  const auto other =
      options->has("db-b") ? open_store_read_only(options->get("db-b", "")) : nullptr;
  Store& store_b = other == nullptr ? *store_a : *other;
  const StoredRun a{store_a.get(), named_run(*store_a, options->positionals[0])};
  const StoredRun b{&store_b, named_run(store_b, options->positionals[1])};
  if (a.run_id == b.run_id && other == nullptr)
    throw ConfigError("compare", a.run_id, "is given twice; name two runs");
  const CompareResult result = compare_runs(a, b, compare);
  if (result.comparisons.empty()) {
    log_warning(fmt::format(
        "nothing to compare: {} rows in common, {} only in {}, {} only in {}, "
        "{} with another text",
        result.in_common, result.only_a, a.run_id, result.only_b, b.run_id, result.changed));
    return kExitNothing;
  }
  const std::vector<Table> tables = comparison_tables(result);
  fmt::print("{}", render(tables, options->get("output", "md")));
  for (const std::string& note : result.notes) log_info("note: {}", note);
  std::vector<Verdict> verdicts;
  for (const Comparison& one : result.comparisons) verdicts.push_back(one.verdict);
  return verdict_exit_code(verdicts);
}

}  // namespace dlm
