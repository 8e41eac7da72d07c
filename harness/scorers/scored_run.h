// What a scorer measured, as a stored run: the same tables, the same identity rules as `run`.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "harness/base/json.h"
#include "harness/base/record.h"
#include "harness/cli.h"
#include "results/store.h"

namespace dlm {

// The model that wrote the text, where a stored run knows it.
struct ScoredModel {
  std::string family = "text";
  std::string dtype;
  std::string weights_sha256;  // empty: the text's stands for it
  std::string tokenizer_sha256;
  std::int64_t parameters = 0;
};

struct ScoredRun {
  std::string model_name;  // who wrote the text, as far as is known
  ScoredModel model;
  std::string task_name;  // "gsm8k", "mauve", ...
  std::int64_t task_version = 1;
  std::string data_sha256;         // of what the text was scored against
  std::string generations_sha256;  // of the text
  Json settings;                   // everything else that decides the numbers
  std::int64_t n_docs = 0;  // of the task, those without a text included; 0 = as many as rows
  Json environment;         // an object; what was measured of the machine, beside environment_json
  std::uint64_t seed = 1;
  bool smoke = false;   // only some of the documents
  std::string command;  // repeats it
  std::vector<ExampleRow> rows;
  std::vector<Estimate> estimates;
  std::vector<MetricDefinition> definitions;
};

// Adds --db, --output and --fresh, which the functions below read.
void add_scored_run_options(CommandOptions& cli);

// A run that is measured already, whatever it measured.
struct FinishedRun {
  RunHeader header;
  std::vector<ExampleRow> rows;
  std::vector<Estimate> estimates;
  std::vector<MetricDefinition> definitions;
  std::int64_t wall_ns = 0;
  std::vector<TrainingPoint> curve = {};  // of a training
};

// Stores the runs, or finds those with the same identity (then nothing is written unless --fresh),
// and prints their table to stdout. Returns the exit code. Throws ConfigError, DataError.
int record_finished_runs(const ParsedOptions& options, std::span<const FinishedRun> runs);
int record_finished_run(const ParsedOptions& options, const FinishedRun& run);

// The same of scored text.
int record_scored_run(const ParsedOptions& options, const ScoredRun& run);

// Whether the store holds the finished run of this identity, and --fresh was not given: then its
// table is printed and nothing need be scored. Does not read rows, estimates and definitions.
bool print_stored_run(const ParsedOptions& options, const ScoredRun& run);

}  // namespace dlm
