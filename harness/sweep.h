// List values and ranges that multiply into several runs: "4,8,16", "8-64*2" (8 16 32 64), "1-9+2",
// "1-3".
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "harness/base/spec.h"

namespace dlm {

// One setting and the values it takes, each as the command line would give it.
struct SweepAxis {
  std::string key;
  std::vector<std::string> values;
};

// The values that `text` lists for a setting; a setting that is itself a list (metrics) takes it
// whole. Throws ConfigError for a range that is empty, never ends or has more than 10,000 values.
SweepAxis make_axis(const std::string& key, std::string_view text);

// Every combination, on top of `base`, in field-table order with the last setting fastest, so that
// runs of one model come one after the other. Throws ConfigError beyond 10,000 runs.
std::vector<RunSpec> expand(const RunSpec& base, std::vector<SweepAxis> axes);

}  // namespace dlm
