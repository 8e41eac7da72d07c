// One run from settings to stored, estimated result. The order of things is the order of
// promises: nothing is written before model, data and settings were found good; every batch is one
// transaction; estimates come from the stored rows, so a run that was killed and resumed ends with
// the same numbers as one that was not.
#pragma once

#include <memory>
#include <string>

#include "harness/base/json.h"
#include "harness/base/spec.h"
#include "harness/model_loading.h"
#include "harness/prepared_run.h"
#include "results/store.h"

namespace dlm {

// The workload is the task's. Throws ConfigError or DataError, also for a setting that the run does
// not read (read_settings.h); writes nothing.
PreparedRun prepare_run(const RunSpec& spec, ModelCache& models);

// The same with a workload at hand, whose settings were checked.
PreparedRun prepared_with(const RunSpec& spec, const LoadedModel& model,
                          std::unique_ptr<Workload> workload);

// The header of a run that cannot start, for the row that says why: its settings, and of its model
// what can be had. No other run has its key.
RunHeader refused_header(const RunSpec& spec, ModelCache& models);

// The header of something else that was measured on the same model and documents: `what` and its
// own settings take the place of the estimator in its identity.
RunHeader measurement_header(const PreparedRun& run, const std::string& what, const Json& settings);

struct RunResult {
  std::string run_id;
  RunState state = RunState::kFresh;  // what the store had of it before
  std::string error;                  // empty where the run is done
};

// Measures what the store does not have yet, then estimates. A finished run gets the metrics that
// it lacks; a new one takes over text that a run of the same sampler wrote. What goes wrong on the
// way becomes the run's error and its status "failed"; what the store throws goes up.
RunResult execute_run(const PreparedRun& run, Store& store, Restart restart);

}  // namespace dlm
