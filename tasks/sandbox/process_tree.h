// Processes as /proc shows them: what a process and all its descendants take.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include <sys/types.h>

namespace dlm {

struct TreeUsage {
  double cpu_seconds = 0;  // of living processes and of those they waited for
  std::int64_t resident_bytes = 0;
  std::int64_t processes = 0;
};

// `root` and all that descend from it.
std::vector<pid_t> process_tree(pid_t root);

// Zeros where the process has ended.
TreeUsage process_tree_usage(pid_t root);

// The processes that were started with `entry` ("NAME=value") in their environment, as far as this
// one may look.
std::vector<pid_t> processes_with_environment(std::string_view entry);

}  // namespace dlm
