// Runs the program as a user would, for end-to-end tests.
#pragma once

#include <map>
#include <string>
#include <vector>

#include <sys/types.h>

namespace dlm::testing {

struct ProcessOptions {
  std::string input = {};                               // stdin
  std::string folder = {};                              // working folder; empty = this one
  std::map<std::string, std::string> environment = {};  // on top of ours; an empty value unsets
  long file_size_limit = -1;                            // RLIMIT_FSIZE in bytes; -1 = none
  bool unprivileged = false;  // as nobody where we are root: permissions bind then
};

struct ProcessResult {
  int code = -1;    // exit code, or 128 + signal
  std::string out;  // stdout
  std::string err;  // stderr
};

// Path of the dlmbench that was built with these tests.
std::string program_path();

ProcessResult run_process(const std::vector<std::string>& command,
                          const ProcessOptions& options = {});

// dlmbench ARGS...
ProcessResult dlmbench(const std::vector<std::string>& args, const ProcessOptions& options = {});

// Starts a process whose output is dropped; the caller waits for it or kills it.
pid_t start_process(const std::vector<std::string>& command, const ProcessOptions& options = {});

// Exit code, or 128 + signal.
int wait_for(pid_t process);

// Starts the command once for each of `seconds` and kills it (SIGKILL) after so long. How many were
// at work still.
int killed_at_work(const std::vector<std::string>& command, const std::vector<double>& seconds);

}  // namespace dlm::testing
