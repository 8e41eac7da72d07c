// Which settings a run reads, beyond the table of its kind (spec.h): many belong to some estimators
// or samplers alone. One table for every command, so that a setting that would change nothing is
// never taken for one that did.
#pragma once

#include <string>
#include <string_view>

#include "harness/base/spec.h"

namespace dlm {

// How a run goes about it. A name that is empty or "auto" is not known: its settings count as read.
struct RunMethod {
  std::string estimator;  // of a likelihood
  std::string sampler;    // of text
};

// Why a run of this method reads the setting `key` at no value; empty where it does. Settings that
// depend on another setting (strata_rows on strata) look at `spec`.
std::string why_unread(std::string_view key, const RunSpec& spec, const RunMethod& method);

}  // namespace dlm
