#include "tasks/sandbox/box.h"

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <string_view>
#include <utility>

#include <fmt/format.h>
#include <sys/random.h>
#include <sys/wait.h>
#include <unistd.h>

#include "harness/base/error.h"
#include "harness/base/text.h"
#include "tasks/sandbox/process_tree.h"

namespace dlm {
namespace {

constexpr double kStartSeconds = 30;
constexpr double kLookEverySeconds = 0.05;
constexpr double kEndSeconds = 0.1;  // from the verdict to the kill
constexpr double kBusyShare = 0.1;   // of its time, that a program which waits does not compute
constexpr std::size_t kChallengeBytes = 16;
constexpr int kMostPieces = 16;
constexpr std::size_t kMostPrinted = 4096;
constexpr std::size_t kMostDetail = 400;
constexpr std::size_t kMostReport = std::size_t{16} << 20U;

std::string length_prefix(std::size_t size) {
  std::string bytes;
  for (unsigned i = 0; i < 4; ++i) bytes.push_back(static_cast<char>((size >> (8 * i)) & 0xFFU));
  return bytes;
}

std::size_t read_length(std::string_view bytes) {
  std::size_t size = 0;
  for (unsigned i = 0; i < 4; ++i)
    size |= static_cast<std::size_t>(static_cast<unsigned char>(bytes[i])) << (8 * i);
  return size;
}

std::string request_of(const SandboxJob& job) {
  std::string request = job.kind == SandboxJob::Kind::kTool ? "T" : "P";
  for (const std::string* text : {&job.source, &job.checks, &job.tested})
    request += length_prefix(text->size()) + *text;
  return request;
}

// Secret, so from the system and not from a stream of random.h: it decides no number.
std::string random_challenge() {
  std::string bytes(kChallengeBytes, '\0');
  DLM_CHECK(::getrandom(bytes.data(), bytes.size(), 0) == std::ssize(bytes), "no random bytes");
  return bytes;
}

// write(2) to a pipe that may have lost its reader: EPIPE, and not the signal that would end this
// process. Of this thread alone, so that nobody else's handling of the signal changes.
ssize_t write_without_signal(int fd, std::string_view bytes) {
  sigset_t pipe_signal, before, pending;
  ::sigemptyset(&pipe_signal);
  ::sigaddset(&pipe_signal, SIGPIPE);
  ::pthread_sigmask(SIG_BLOCK, &pipe_signal, &before);
  ::sigpending(&pending);
  const bool was_pending = ::sigismember(&pending, SIGPIPE) == 1;
  const ssize_t n = ::write(fd, bytes.data(), bytes.size());
  const int error = errno;
  if (n < 0 && error == EPIPE && !was_pending) {
    const timespec at_once{};
    while (::sigtimedwait(&pipe_signal, nullptr, &at_once) < 0 && errno == EINTR) continue;
  }
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
  errno = error;
  return n;
}

std::string signal_text(int signal) {
  const char* const name = ::sigabbrev_np(signal);
  return fmt::format("signal {} (SIG{})", signal, name == nullptr ? "?" : name);
}

}  // namespace

Box::Box(const LaunchPlan& plan) : plan_(plan), launched_(launch(plan)) {
  started_ = given_ = settled_ = looked_ = Clock::now();
}

Box::~Box() {
  if (state_ == State::kGone)
    return;
  kill_all();
  ::waitpid(launched_.process, nullptr, 0);
}

double Box::seconds_since(Clock::time_point start) const {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

void Box::give(const SandboxJob& job, std::size_t index) {
  DLM_CHECK(state_ == State::kReady, "a job for a sandbox that is not ready");
  state_ = State::kRunning;
  index_ = index;
  is_tool_ = job.kind == SandboxJob::Kind::kTool;
  to_send_ = request_of(job);
  given_ = looked_ = Clock::now();
  send_request();
}

std::array<pollfd, 4> Box::wanted_events() const {
  const bool sends = sent_ < to_send_.size() && !request_closed_;
  return {pollfd{state_ == State::kGone ? -1 : launched_.ended.get(), POLLIN, 0},
          pollfd{report_open_ ? launched_.report.get() : -1, POLLIN, 0},
          pollfd{output_open_ ? launched_.output.get() : -1, POLLIN, 0},
          pollfd{sends ? launched_.request.get() : -1, POLLOUT, 0}};
}

void Box::work() {
  if (state_ == State::kGone)
    return;
  send_request();
  // The end is looked for first: what was written before it is then there to be read.
  pollfd end{launched_.ended.get(), POLLIN, 0};
  const bool ended = ::poll(&end, 1, 0) == 1;
  read_report();
  read_output();
  if (ended)
    reap();
  else
    check_limits();
}

void Box::send_request() {
  while (sent_ < to_send_.size() && !request_closed_) {
    const ssize_t n =
        write_without_signal(launched_.request.get(), std::string_view(to_send_).substr(sent_));
    request_closed_ = n < 0 && errno == EPIPE;
    if (n <= 0)
      return;
    sent_ += static_cast<std::size_t>(n);
  }
}

// A bounded number of pieces: a flood does not hold up the clock.
void Box::read_report() {
  std::array<char, 65536> piece{};
  for (int i = 0; i < kMostPieces && report_open_; ++i) {
    const ssize_t n = ::read(launched_.report.get(), piece.data(), piece.size());
    if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
      report_open_ = false;
    if (n <= 0)
      break;
    if (state_ != State::kEnding && report_.size() < kMostReport)
      report_.append(piece.data(), static_cast<std::size_t>(n));
  }
  on_message(report_);
}

// The first 4 KiB are kept. One call reads at most a pipe's worth: a flood does not hold up others.
void Box::read_output() {
  std::array<char, 65536> piece{};
  if (!output_open_)
    return;
  const ssize_t n = ::read(launched_.output.get(), piece.data(), piece.size());
  if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
    output_open_ = false;
  if (n <= 0)
    return;
  printed_bytes_ += n;
  const std::size_t room = kMostPrinted - printed_.size();
  printed_.append(piece.data(), std::min(room, static_cast<std::size_t>(n)));
}

// `report` is all that came since the last message that was understood.
void Box::on_message(std::string_view report) {
  if (report.empty() || state_ == State::kEnding)
    return;
  if (state_ == State::kStarting) {
    if (report.front() == 'R') {
      state_ = State::kReady;
      was_ready_ = true;
      report_.erase(0, 1);
    } else {
      kill_all();
    }
    return;
  }
  if (state_ != State::kRunning)
    return;
  if (!request_taken_) {  // said before anything of the job runs, so it is the driver's own word
    request_taken_ = true;
    report_.erase(0, 1);
    on_message(report_);
    return;
  }
  if (report.front() == 'X') {
    settle(ExecStatus::kWrong, replace_invalid_utf8(report.substr(1, kMostDetail)));
  } else if (report.front() == 'V' && is_tool_) {
    if (report.size() < 5 || report.size() < 5 + read_length(report.substr(1, 4)))
      return;
    outcome_.answer = report.substr(5, read_length(report.substr(1, 4)));
    settle(ExecStatus::kPassed, "");
  } else {
    check_challenge_answer(report);
  }
}

// "E", then the challenge is sent, then "A" and the answer; anything else is no verdict of the
// driver's.
void Box::check_challenge_answer(std::string_view report) {
  if (report.front() != 'E' || is_tool_) {
    settle(ExecStatus::kCrashed, "wrote to the supervisor's descriptor");
    kill_all();
    return;
  }
  if (challenge_.empty()) {
    challenge_ = random_challenge();
    to_send_ += challenge_;
    send_request();
  }
  if (report.size() < 2 + kChallengeBytes)
    return;
  const std::string answer = "A" + std::string(challenge_.rbegin(), challenge_.rend());
  if (report.substr(1) == answer) {
    settle(ExecStatus::kPassed, "");
  } else {
    settle(ExecStatus::kCrashed, "wrote to the supervisor's descriptor");
    kill_all();
  }
}

void Box::check_limits() {
  if (state_ == State::kEnding && seconds_since(settled_) > kEndSeconds)
    kill_all();
  if (state_ == State::kStarting && seconds_since(started_) > kStartSeconds)
    kill_all();
  if (state_ != State::kRunning)
    return;
  const SandboxOptions& options = plan_.options;
  const double wall = seconds_since(given_);
  const bool is_late = wall > wall_limit_seconds(plan_.cpu_limit_seconds);
  if (!request_taken_ && (is_late || request_closed_)) {
    settle(ExecStatus::kSandboxError, "the sandbox did not take its program");
  } else if (request_closed_) {
    settle(ExecStatus::kCrashed, "closed the supervisor's descriptor");
  } else if (is_late) {
    const double cpu = process_tree_usage(launched_.process).cpu_seconds;
    outcome_.result.cpu_seconds = cpu;
    outcome_.result.starved = cpu > kBusyShare * wall;
    settle(ExecStatus::kTimeout, fmt::format("{:.1f} s by the clock", wall));
  } else if (printed_bytes_ > options.output_bytes) {
    settle(ExecStatus::kCrashed, fmt::format("printed more than {} bytes", options.output_bytes));
  } else if (seconds_since(looked_) > kLookEverySeconds) {
    looked_ = Clock::now();
    const TreeUsage usage = process_tree_usage(launched_.process);
    outcome_.result.cpu_seconds = std::max(outcome_.result.cpu_seconds, usage.cpu_seconds);
    if (usage.cpu_seconds > plan_.cpu_limit_seconds)
      settle(ExecStatus::kTimeout, fmt::format("{:.1f} s of CPU time", usage.cpu_seconds));
    else if (usage.resident_bytes > options.memory_bytes)
      settle(ExecStatus::kCrashed, fmt::format("took more than {} bytes of memory, {} processes",
                                               options.memory_bytes, usage.processes));
  }
  if (state_ == State::kEnding)
    kill_all();
}

void Box::settle(ExecStatus status, std::string detail) {
  state_ = State::kEnding;
  settled_ = Clock::now();
  outcome_.result.status = status;
  outcome_.result.detail = std::move(detail);
  outcome_.result.wall_seconds = seconds_since(given_);
}

// The name space dies with bubblewrap, and all that is in it. Without isolation there is only the
// process group that the program was started in.
void Box::kill_all() const {
  ::kill(launched_.process, SIGKILL);
  if (plan_.options.isolation == Isolation::kNone)
    ::kill(-launched_.process, SIGKILL);
}

void Box::reap() {
  int status = 0;
  if (plan_.options.isolation == Isolation::kNone)
    kill_all();  // what the program left running
  const pid_t reaped = ::waitpid(launched_.process, &status, 0);
  DLM_CHECK(reaped == launched_.process, "waitpid: {}", std::strerror(errno));
  if (state_ == State::kRunning)
    judge_end(status);
  state_ = State::kGone;
}

// The process ended and the driver had not spoken.
void Box::judge_end(int status) {
  const bool isolated = plan_.options.isolation == Isolation::kBubblewrap;
  if (isolated && WIFSIGNALED(status)) {
    settle(ExecStatus::kSandboxError,
           fmt::format("bubblewrap ended by {}", signal_text(WTERMSIG(status))));
    return;
  }
  if (!request_taken_) {
    settle(ExecStatus::kSandboxError, "the sandbox ended before it took its program");
    return;
  }
  // bubblewrap ends with 128 + signal where its child was killed.
  const int code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  const int signal = code > 128 ? code - 128 : 0;
  const double cpu = outcome_.result.cpu_seconds;
  if (signal == SIGXCPU || cpu > plan_.cpu_limit_seconds)
    settle(ExecStatus::kTimeout, fmt::format("{:.1f} s of CPU time", cpu));
  else if (signal != 0)
    settle(ExecStatus::kCrashed, signal_text(signal));
  else
    settle(ExecStatus::kCrashed, fmt::format("exit {} before its checks ended", code));
}

}  // namespace dlm
