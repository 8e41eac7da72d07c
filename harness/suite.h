// Suite files: what `run SUITE.toml` runs. Data only, no logic; the keys are the settings of the
// field table.
//
//   [defaults]            # settings of every run below
//   seed = 1
//   [[run]]               # lists multiply
//   model = "data:checkpoints/stories260K/hf"
//   task = ["tinystories", "wikitext2"]
//   needs_data = true     # skipped with a line where DLMBENCH_DATA is absent; needs_zoo alike
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "harness/sweep.h"

namespace dlm {

struct SuiteEntry {
  std::vector<SweepAxis> axes;  // defaults included; later ones of the same key win
  bool needs_data = false;
  bool needs_zoo = false;  // the models that this project trained (data_root.h)
};

struct Suite {
  std::string name;
  std::vector<SuiteEntry> entries;
};

// Throws ConfigError for bad TOML (with line), an unknown key (with the nearest known one) or a
// value of a wrong type.
Suite parse_suite(std::string_view toml, const std::string& source);

// The axes with `overrides` put in place of those of the same key.
std::vector<SweepAxis> with_overrides(std::vector<SweepAxis> axes,
                                      const std::vector<SweepAxis>& overrides);

}  // namespace dlm
