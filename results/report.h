// What `list`, `show`, `export` and the end of `run` print: tables made from a store.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "results/store.h"
#include "results/table.h"

namespace dlm {

// Which runs; an empty member does not filter.
struct RunFilter {
  std::string model;        // its name, as typed for the run, or a pattern ("gpt2*")
  std::string task;         // alike
  std::string status;       // "running", "done", "failed" or "partial"
  std::int64_t limit = 0;   // the latest so many; 0 = all
  bool superseded = false;  // also runs that were measured anew
};

// Ids, oldest first. Warns of a model or task that no run has; ConfigError for no such status.
std::vector<std::string> select_runs(Store& store, const RunFilter& filter);

// One line a run, oldest first, with the settings that tell apart runs of one model and task.
Table runs_table(Store& store, const RunFilter& filter);

// One line an estimate, in the order of `run_ids`. The settings in which the runs differ are
// columns, so a sweep reads as one table. A value that is a bound has its sign before it. Values
// are shown to the digits that their standard error supports.
Table estimates_table(Store& store, std::span<const std::string> run_ids);

// All of one run: "run", "settings", "estimates", "cost", "data" (how the task was prepared, what
// it holds and what was left out).
std::vector<Table> show_tables(Store& store, const std::string& run_id);

// "examples" (every row, with its output text), "metrics" or "runs", at full precision, in the
// order of `run_ids`. Throws ConfigError for another `what`.
Table export_rows(Store& store, std::span<const std::string> run_ids, std::string_view what);

}  // namespace dlm
