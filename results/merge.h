// Stores of several machines brought into one.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "results/sqlite.h"
#include "results/table.h"

namespace dlm {

enum class MergeOutcome {
  kAdded,
  kThere,       // the same run was merged before
  kDuplicate,   // both stores measured this key and got the same numbers; added as history
  kConflict,    // the stores disagree; nothing of the run was taken
  kUnfinished,  // still being written, or stopped; merge again when it is done
};

const char* merge_outcome_name(MergeOutcome outcome);

struct MergedRun {
  std::string source, run_id;
  MergeOutcome outcome = MergeOutcome::kAdded;
  std::string detail;
};

// Copies every finished run of the store `source`, with its rows, texts, estimates, timings, tags
// and gate verdicts, into `target`: one transaction, so that it is there whole or not at all,
// however the process ends. Doing it again adds nothing. The source is only read. A key that both
// hold keeps the target's run as the current one, and a tag that both have keeps the target's runs.
// Throws DataError where `source` is not a store of
// this version, is the target itself, or defines a metric in another unit; ConfigError for a path
// that SQLite cannot attach.
std::vector<MergedRun> merge_store(Database& target, const std::string& source);

// A tag that does not name the same runs in two stores.
struct TagDifference {
  std::string name;
  std::int64_t in_source = 0, in_target = 0, in_both = 0;  // runs
};

// The tags of `source` that mean something else in `target`, by name. Throws like merge_store.
std::vector<TagDifference> differing_tags(Database& target, const std::string& source);

// One line a run.
Table merge_table(const std::vector<MergedRun>& runs);

}  // namespace dlm
