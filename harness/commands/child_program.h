// Commands that run programs: this one, or another build of it.
#pragma once

#include <string>
#include <vector>

namespace dlm {

// The path of the program that runs.
std::string this_program();

// Runs `command` (the path of a program and its arguments) to its end and returns its exit code, or
// 128 + the signal that ended it. Its stdout is dropped: what it measured is in a store. Throws
// DataError where it cannot be started.
int run_to_end(const std::vector<std::string>& command);

}  // namespace dlm
