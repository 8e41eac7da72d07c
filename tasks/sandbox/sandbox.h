// Runs programs that a model wrote, each in a sandbox of its own that is thrown away afterwards:
// bubblewrap with every name space, no network, a read-only system, a private /tmp in memory, an
// unused user id, a seccomp filter, limits on what a process may take, and a supervisor outside
// that measures and ends the whole process tree. Sandboxes are started ahead of need, so a program
// finds a Python that is waiting for it.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "harness/base/error.h"

namespace dlm {

// How a program ended.
enum class ExecStatus {
  kPassed,        // its checks ran to their end
  kWrong,         // it or a check raised an exception (SystemExit too), or it is no Python
  kTimeout,       // used up its CPU time or its wall-clock time
  kCrashed,       // its process ended before its checks did, or took too much memory or output
  kSandboxError,  // the sandbox failed; says nothing about the program
};

// "passed", "wrong", "timeout", "crashed", "sandbox_error": the values of sample.exec_status.
const char* status_name(ExecStatus status);

struct SandboxProgram {
  std::string source;  // UTF-8; run first, as a module without a name
  std::string checks;  // run after it, sees its globals; trusted
  // Globals of the program that the checks test: visible to them even where a builtin has the name.
  std::vector<std::string> tested;
};

struct ExecResult {
  ExecStatus status = ExecStatus::kSandboxError;
  std::string detail;       // the exception, the signal, the limit; made of what the program wrote
  double wall_seconds = 0;  // from handing over the program to the verdict
  double cpu_seconds = 0;   // of the whole sandbox, as last looked at: 0 for a short program
  // The clock ran out while the program was computing, not waiting: this machine was busy with
  // other work, and the verdict may be wrong.
  bool starved = false;
};

// No bubblewrap, or it can not isolate here; exit code 6 of the program.
class SandboxUnavailable : public Error {
 public:
  using Error::Error;
};

enum class Isolation {
  kBubblewrap,
  kNone,  // limits and time-outs only; whatever the user may do, the programs may do
};

struct SandboxOptions {
  Isolation isolation = Isolation::kBubblewrap;
  std::string interpreter = "/usr/bin/python3";  // below /usr
  std::int64_t workers = 0;                      // programs at once; 0 = one for each core
  // CPU seconds of a program on a machine of reference speed. On a slower one, as measured when the
  // sandbox opens, it gets proportionally more. The wall-clock limit is twice that and a second.
  double time_limit_seconds = 3;
  std::int64_t memory_bytes = std::int64_t{2} << 30;         // resident, of all its processes
  std::int64_t address_space_bytes = std::int64_t{4} << 30;  // of one process
  std::int64_t output_bytes = std::int64_t{16} << 20;
  std::int64_t disk_bytes = std::int64_t{64} << 20;  // of /tmp
  std::int64_t processes = 64;
  std::int64_t open_files = 128;
};

struct SandboxJob;
struct JobOutcome;
class SandboxPool;

// Called as programs end, in any order: the program's index, its result.
using ExecCallback = std::function<void(std::size_t, const ExecResult&)>;

// Used by one thread at a time.
class Sandbox {
 public:
  // Starts sandboxes, looks at what the interpreter is, measures this machine's speed. Throws
  // SandboxUnavailable, ConfigError (an option out of range, no such interpreter).
  explicit Sandbox(const SandboxOptions& options);

  Sandbox(const Sandbox&) = delete;
  Sandbox& operator=(const Sandbox&) = delete;
  ~Sandbox();

  // Results in the programs' order. A program whose sandbox failed, or that was starved, is tried
  // once more. Throws
  // SandboxUnavailable where sandboxes can not be started any longer.
  std::vector<ExecResult> run(std::span<const SandboxProgram> programs,
                              const ExecCallback& on_done = {});

  // Runs `tool`, code of ours that reads the global `text` and sets the global `result`, once for
  // each text: for what needs Python but must not see a hostile text in this process. A text that
  // the tool failed on has an empty answer and a result that is not kPassed.
  struct Answer {
    std::string text;
    ExecResult result;
  };

  std::vector<Answer> apply(const std::string& tool, std::span<const std::string> texts);

  // Processes of earlier programs that still live, after a wait of up to two seconds.
  std::int64_t count_strays() const;

  // "NAME=value" in the environment of all its processes, and of no other's.
  const std::string& mark() const;

  // JSON objects. What decides verdicts: isolation, interpreter path, version and SHA-256, limits.
  const std::string& settings_json() const { return settings_json_; }

  // What was measured here: seconds of the reference loop, the factor on the time limit it gave.
  const std::string& environment_json() const { return environment_json_; }

 private:
  std::vector<JobOutcome> run_jobs(std::span<const SandboxJob> jobs, const ExecCallback& on_done);

  std::unique_ptr<SandboxPool> pool_;
  std::string settings_json_, environment_json_;
};

}  // namespace dlm
