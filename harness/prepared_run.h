// What a run needs before its first pass.
#pragma once

#include <cstdint>
#include <memory>

#include "harness/base/spec.h"
#include "harness/model_loading.h"
#include "harness/workload.h"
#include "results/store.h"

namespace dlm {

// A run that can start: model loaded, examples planned, identity known.
struct PreparedRun {
  RunSpec spec;
  const LoadedModel* model = nullptr;  // owned by the ModelCache it came from
  std::unique_ptr<Workload> workload;
  RunHeader header;
  std::int64_t load_ns = 0;
};

}  // namespace dlm
