// Starts one sandboxed interpreter: the command line of bubblewrap, the limits, the unused user id.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <sys/types.h>

#include "tasks/sandbox/sandbox.h"

namespace dlm {

// A file descriptor that is closed when it goes.
class Descriptor {
 public:
  Descriptor() = default;

  explicit Descriptor(int fd) : fd_(fd) {}

  Descriptor(Descriptor&& other) noexcept : fd_(other.release()) {}

  Descriptor& operator=(Descriptor&& other) noexcept;

  ~Descriptor() { reset(); }

  int get() const { return fd_; }

  int release();
  void reset();

 private:
  int fd_ = -1;
};

// A sandbox that was started, as its supervisor holds it; all descriptors are non-blocking.
struct Launched {
  pid_t process = 0;   // bubblewrap's own; everything of the sandbox descends from it
  Descriptor ended;    // readable once the process has ended
  Descriptor request;  // to the driver
  Descriptor report;   // from the driver
  Descriptor output;   // what the program prints
};

// The user id that a sandbox runs under. Root is left first of all: RLIMIT_NPROC does not bind for
// it.
struct SandboxUser {
  std::uint32_t uid = 0;   // 0 = this process's own, which is not root
  bool exclusive = false;  // an id that no account has: the number of its processes can be limited
};

// Of the `number`-th sandbox of this process; 1024 in a row differ, so that what one leaves dying
// does not count against the next. Where this process is root but knows few ids (a container), all
// are nobody.
SandboxUser sandbox_user(std::uint32_t number);

struct LaunchPlan {
  SandboxOptions options;
  std::string interpreter;       // resolved
  double cpu_limit_seconds = 0;  // RLIMIT_CPU lies a second above; the supervisor measures finer
  SandboxUser user;
  std::string working_folder;  // without isolation: where programs start
  std::string mark;            // new_sandbox_mark
};

// The wall-clock limit of a program that may take that much CPU time: room for a machine that
// others use too, and an end for programs that sleep.
inline double wall_limit_seconds(double cpu_limit_seconds) {
  return 2 * cpu_limit_seconds + 1;
}

// Throws SandboxUnavailable.
Launched launch(const LaunchPlan& plan);

// An entry of the environment of all that one pool of this process's starts, unlike any other
// pool's: tells what outlived its sandbox.
std::string new_sandbox_mark();

// The command line that launch runs.
std::vector<std::string> sandbox_command(const LaunchPlan& plan);

}  // namespace dlm
