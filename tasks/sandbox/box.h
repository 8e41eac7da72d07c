// One sandbox from its start to its end, and the one job that it does.
#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include <poll.h>

#include "tasks/sandbox/launch.h"
#include "tasks/sandbox/sandbox.h"

namespace dlm {

// What a sandbox does: a program and its checks, or a tool of ours on a text.
struct SandboxJob {
  enum class Kind { kProgram, kTool };

  Kind kind = Kind::kProgram;
  std::string source;
  std::string checks;  // of a tool: the text
  std::string tested;  // names, one a line
};

struct JobOutcome {
  ExecResult result;
  std::string answer;  // of a tool
};

class Box {
 public:
  enum class State {
    kStarting,
    kReady,    // Python waits for a job
    kRunning,  // until there is a verdict
    kEnding,   // the verdict is there, the processes may be not yet gone
    kGone,
  };

  explicit Box(const LaunchPlan& plan);  // throws SandboxUnavailable
  Box(const Box&) = delete;
  Box& operator=(const Box&) = delete;
  ~Box();  // ends everything inside

  State state() const { return state_; }

  // Python waited for a job once, whatever became of it: it is not the start that failed.
  bool was_ready() const { return was_ready_; }

  pid_t process() const { return launched_.process; }

  // The box must be ready. `index` is the caller's name for the job.
  void give(const SandboxJob& job, std::size_t index);

  std::optional<std::size_t> job_index() const { return index_; }

  // Descriptors to wait for; the order is fixed, an unused one has fd -1.
  std::array<pollfd, 4> wanted_events() const;

  // Reads and writes what is possible, then looks at the clock, the process tree and its limits.
  void work();

  // Of a box that is gone after it was given a job.
  const JobOutcome& outcome() const { return outcome_; }

  // What it printed, at most the first 4 KiB: why a start failed.
  const std::string& printed() const { return printed_; }

 private:
  using Clock = std::chrono::steady_clock;

  void send_request();
  void read_report();
  void read_output();
  void on_message(std::string_view report);
  void check_challenge_answer(std::string_view report);
  void check_limits();
  void settle(ExecStatus status, std::string detail);
  void kill_all() const;
  void reap();
  void judge_end(int status);
  double seconds_since(Clock::time_point start) const;

  LaunchPlan plan_;
  Launched launched_;
  State state_ = State::kStarting;
  bool was_ready_ = false;
  Clock::time_point started_, given_, settled_, looked_;
  std::string to_send_;
  std::size_t sent_ = 0;
  bool request_taken_ = false;   // the driver said that it has the job; nothing of it ran before
  bool request_closed_ = false;  // nobody inside reads what is sent
  std::string report_;
  bool report_open_ = true, output_open_ = true;
  std::string challenge_;  // empty until the checks ended
  std::string printed_;
  std::int64_t printed_bytes_ = 0;
  bool is_tool_ = false;
  std::optional<std::size_t> index_;
  JobOutcome outcome_;
};

}  // namespace dlm
