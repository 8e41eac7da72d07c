// Programs that try to harm the machine, to get out, or to pass without passing: what the sandbox
// has to hold. Run by `doctor sandbox` and by the tests.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "tasks/sandbox/sandbox.h"

namespace dlm {

// Things of this machine that the programs try to reach.
struct HostileTargets {
  std::string readable_file;    // anybody here may read it
  std::string abstract_socket;  // name of a local socket that listens here, without the first NUL
};

struct HostileProgram {
  std::string name;
  std::string tries;
  SandboxProgram program;
  // The verdict of a sandbox that holds. Programs that look whether they are held pass then.
  ExecStatus expected;
};

std::vector<HostileProgram> hostile_programs(const HostileTargets& targets);

struct BatteryRow {
  HostileProgram hostile;
  ExecResult result;

  bool held() const { return result.status == hostile.expected; }
};

struct Battery {
  std::vector<BatteryRow> rows;
  std::int64_t left_behind = 0;  // processes below this one that were not there before
  bool file_intact = false;      // the file that was to be reached

  bool held() const;
};

// Options under which the battery takes seconds: short time limits, little memory.
SandboxOptions battery_options();

// Runs every program, then looks whether anything of them is left. Throws what Sandbox throws.
Battery run_battery(Sandbox& sandbox);

}  // namespace dlm
