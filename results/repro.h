// A paper's tables, cell by cell: what it claims, what the store holds, and whether they agree.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "results/paper_command.h"
#include "results/store.h"
#include "results/table.h"

namespace dlm {

enum class ToleranceClass {
  kExact,        // ours, rounded to the digits of the claim, is the claim
  kStatistical,  // |z| <= z: our standard error, that of the claim where known, and its rounding
  kSystematic,   // within relative * claim + absolute (+ 3 of our standard errors), for a reason
};

struct Tolerance {
  ToleranceClass kind = ToleranceClass::kStatistical;
  double z = 3;
  double relative = 0, absolute = 0;
  double relative_se = 0;      // standard error of the claim, relative to it; 0: not known
  std::int64_t n_claimed = 0;  // documents of a claimed proportion; 0: it is none, or not known
  double scale = 1;            // the claim is in these units of ours: 100 for per cent
  bool logarithm = false;      // the claim is the natural logarithm of ours
  std::string reason;          // of a systematic one
};

struct PaperCell {
  std::string table, row, column, metric, model, task;
  std::string claimed;  // as printed: its digits carry the rounding
  std::map<std::string, std::string> settings;
  Tolerance tolerance;
  std::string command;             // that would produce it; empty: the claim says too little
  CellCommand asked;               // the same, parsed
  std::vector<std::string> needs;  // what that takes
};

struct Paper {
  std::string name;
  std::vector<PaperCell> cells;
};

// Reads a paper file (results/papers/*.toml): tables with columns, rows of claimed values as text
// ("" = none), model and task by row or column, settings, tolerance, command and needs. A metric is
// named as metric_value takes it, or is one of derived_metrics(). Throws ConfigError for bad TOML,
// unknown keys, a row of another length than the columns, a claim that is not a number, a command
// that parse_cell_command refuses, and a tolerance that does not fit the metric.
Paper parse_paper(std::string_view toml, const std::string& source);

enum class CellVerdict { kHolds, kOff, kNotRun };

struct CellResult {
  PaperCell cell;
  CellVerdict verdict = CellVerdict::kNotRun;
  std::string run_id;
  std::optional<double> ours, std_error;  // in the claim's units
  std::optional<double> z;
  std::string nearest;  // not run: the run of model and task that differs least, and in what
};

// What a cell may claim that is no stored estimate: "tokens_per_second" (accepted ones), and "nfe",
// network passes a text.
const std::vector<std::string>& derived_metrics();

// The verdict on a value of ours, in the claim's units. `std_error` may be absent (then 0).
CellResult judge_cell(const PaperCell& cell, double ours, std::optional<double> std_error);

// Every cell of `paper` (of one table where `table` is not empty) with the latest finished run of
// its model and task whose settings are those of the cell's command (deviations() of
// paper_command.h). The model of a run is known by its name or its last part. Throws ConfigError
// for a table that the paper does not have, and as metric_value.
std::vector<CellResult> reproduce(Store& store, const Paper& paper, const std::string& table);

// Claimed, ours, z, verdict; what a cell that was not run needs.
Table repro_table(const std::vector<CellResult>& results);

// The commands of the cells that were not run, once each, with what they need; what can not be run
// has an empty one.
Table missing_table(const std::vector<CellResult>& results);

}  // namespace dlm
