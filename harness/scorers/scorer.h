// `score TASK`: scores of text that was produced elsewhere. One .cc per task and one row in
// scorers.cc; each parses its own options.
#pragma once

#include <span>

#include "harness/commands/command.h"

namespace dlm {

struct Scorer {
  const char* name;
  const char* summary;
  int (*run)(const Arguments& args);  // args: what follows `score NAME`
};

std::span<const Scorer> all_scorers();

}  // namespace dlm
