// The command of a paper's cell, read as the program would read it, and whether a stored run is
// what it measures.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "harness/base/spec.h"

namespace dlm {

struct CellCommand {
  std::string name;                            // "run", "score mauve"; empty: no command
  std::optional<RunSpec> run;                  // of `run`
  std::map<std::string, std::string> options;  // of another: as given, by long name
};

// The words of a command line as a POSIX shell splits it, quotes gone; a remark (" # ...") ends it.
// Throws ConfigError, with `source`, for a quote that does not end.
std::vector<std::string> command_words(std::string_view command, const std::string& source);

// Throws ConfigError, with `source`, for what is not `dlmbench COMMAND ...`, and for a `run` that
// names no model or task, a setting that does not exist (with the nearest known one) or a value
// that it can not have.
CellCommand parse_cell_command(std::string_view command, const std::string& source);

// What a stored run is known by.
struct RunRecordOf {
  std::string_view spec_json;  // its settings
  std::string_view command;    // that it was measured by
};

// What a cell claims: a rate is one of a batch size, where its command names one.
enum class Claim { kNumber, kRate };

// In what a stored run is not what `command` measures: "--length 64", as the run has it; empty: in
// nothing. Of `run` every setting counts that can change a number, defaults included, of others
// every option. Model and task are not looked at, nor what changes the last digits alone (batch
// size, threads, device, back end), nor the metrics. A folder is known by its last parts, with or
// without "zoo:" or "data:"; a tokenizer counts where the command names one.
std::vector<std::string> deviations(const CellCommand& command, const RunRecordOf& run,
                                    Claim claim);

}  // namespace dlm
