// Generating runs as they finish, one line each: settings, what the text is worth, what it cost. A
// long sweep shows its results while it goes on; all numbers of a run are `show`'s.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "harness/base/spec.h"
#include "results/store.h"

namespace dlm {

class RunRows {
 public:
  // `specs`: all runs that may come; the settings in which they differ are the first columns.
  explicit RunRows(std::span<const RunSpec> specs);

  // Prints the run's line of a Markdown table to stdout, after a header where its columns are
  // others than those of the line before.
  void print(Store& store, const std::string& run_id, const RunSpec& spec);

 private:
  struct Setting {
    std::string key, name;
    std::size_t width = 0;
  };

  std::vector<Setting> settings_;
  std::vector<std::string> header_;
};

}  // namespace dlm
