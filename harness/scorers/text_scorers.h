// The scorers of free text, rows of scorers.cc.
#pragma once

#include "harness/commands/command.h"

namespace dlm {

int score_genppl(const Arguments& args);
int score_mauve(const Arguments& args);

}  // namespace dlm
