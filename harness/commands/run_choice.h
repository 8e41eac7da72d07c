// How commands on the store name the runs they are about.
#pragma once

#include <string>
#include <vector>

#include "harness/cli.h"
#include "results/report.h"
#include "results/store.h"

namespace dlm {

// Adds --model, --task, --status, --limit and --all.
void add_filter_options(CommandOptions& cli);

// Throws ConfigError for a limit that is not a whole number from 0.
RunFilter filter_of(const ParsedOptions& options);

// The runs named by (the beginnings of) their ids or by their tags, all runs of a tag, each once;
// or those that the filter selects where none is named. Throws ConfigError for both together and
// like Store::resolve_run.
std::vector<std::string> chosen_runs(Store& store, const ParsedOptions& options);

// The run of a tag, else the one whose id begins so. Throws ConfigError where the tag names
// several, and like Store::resolve_run.
std::string named_run(Store& store, const std::string& name);

}  // namespace dlm
