// Stored runs in the forms that other programs read.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "results/store.h"

namespace dlm {

struct ExportedFile {
  std::string path;  // relative to the folder asked for
  std::string content;
};

// The files that lm-evaluation-harness leaves behind: MODEL/results_TIME.json and
// MODEL/samples_TASK_TIME.jsonl for each run. A metric is named "metric,variant", "none" where it
// has no variant; a standard error that is unknown is "N/A". Source: EleutherAI/lm-evaluation-
// harness @ 4e7e0d4, evaluation_tracker.py (names and keys).
std::vector<ExportedFile> export_lm_eval(Store& store, std::span<const std::string> run_ids);

// The JSON that Google Benchmark writes and its tools/compare.py reads: one entry a timed repeat of
// a run, or one a run where there are none; times are of one document. CPU time is not measured:
// cpu_time holds the wall time, and the context says so.
std::string export_google_benchmark(Store& store, std::span<const std::string> run_ids);

// A booktabs table, a line a run and a column a metric, value ± standard error; metrics that only
// describe (lengths of texts, say) are left out where others are there. A row is named by its
// model, task and the settings that all runs have and in which they differ. A value is bold
// where it is the best of its column among the runs of one task and its data, and differs from
// every other one of them: by the paired test of `compare`, or where that has none of the metric by
// the two standard errors; Holm over these, 5 % level.
std::string export_latex(Store& store, std::span<const std::string> run_ids);

}  // namespace dlm
