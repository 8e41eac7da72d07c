// Suite files: what `run SUITE.toml` runs. Data only, no logic; the keys are the settings of the
// field table.
//
//   [defaults]            # settings of every run below
//   seed = 1
//   [[run]]               # lists multiply
//   model = "data:checkpoints/stories260K/hf"
//   task = ["tinystories", "wikitext2"]
//   needs_data = true     # skipped with a line where DLMBENCH_DATA is absent; needs_zoo alike
//   table = "small"       # shown in the table of that name, in place of the run's own lines
//   [[table]]             # at the end: a line a model (results/model_table.h)
//   name = "small"
//   title = "Perplexity and generative perplexity"
//   columns = ["perplexity", "generative_perplexity/pooled", "tokens_per_second"]
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "harness/sweep.h"
#include "results/model_table.h"

namespace dlm {

struct SuiteEntry {
  std::vector<SweepAxis> axes;  // defaults included; later ones of the same key win
  bool needs_data = false;
  bool needs_zoo = false;  // the models that this project trained (data_root.h)
  std::string table;       // empty, or the name of one of the suite's
};

struct SuiteTable {
  std::string name;
  ModelTableSpec spec;
};

struct Suite {
  std::string name;
  std::vector<SuiteEntry> entries;
  std::vector<SuiteTable> tables;
};

// Throws ConfigError for bad TOML (with line), an unknown key (with the nearest known one), a value
// of a wrong type, and a run's table that the suite does not have.
Suite parse_suite(std::string_view toml, const std::string& source);

// The axes with `overrides` put in place of those of the same key.
std::vector<SweepAxis> with_overrides(std::vector<SweepAxis> axes,
                                      const std::vector<SweepAxis>& overrides);

}  // namespace dlm
