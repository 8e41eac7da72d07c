#include "tasks/sandbox/pool.h"

#include <algorithm>
#include <deque>
#include <filesystem>
#include <set>
#include <system_error>

#include <fmt/format.h>
#include <poll.h>
#include <stdlib.h>
#include <unistd.h>

#include "harness/base/error.h"
#include "harness/base/text.h"
#include "tasks/sandbox/process_tree.h"

namespace dlm {
namespace {

constexpr int kLookEveryMilliseconds = 20;
constexpr int kMostFailedStarts = 3;
constexpr int kMostAttempts = 2;

}  // namespace

struct SandboxPool::Progress {
  std::span<const SandboxJob> jobs;
  const Callback& on_done;
  std::deque<std::size_t> open;  // not handed out
  std::vector<int> attempts;
  std::vector<JobOutcome> outcomes;
  std::size_t n_done = 0;
};

SandboxPool::SandboxPool(const LaunchPlan& plan, std::int64_t workers)
    : plan_(plan), workers_(static_cast<std::size_t>(workers)) {
  plan_.mark = new_sandbox_mark();
  boxes_.resize(2 * workers_);
  if (plan.options.isolation == Isolation::kNone) {
    std::string pattern = (std::filesystem::temp_directory_path() / "dlmbench-XXXXXX").string();
    DLM_CHECK(::mkdtemp(pattern.data()) != nullptr, "no temporary folder");
    folder_ = pattern;
    std::filesystem::permissions(folder_, std::filesystem::perms(0711));
  }
  refill();
}

SandboxPool::~SandboxPool() {
  boxes_.clear();
  std::error_code ignored;
  if (!folder_.empty())
    std::filesystem::remove_all(folder_, ignored);
}

void SandboxPool::set_cpu_limit_seconds(double seconds) {
  plan_.cpu_limit_seconds = seconds;
  for (auto& box : boxes_) box.reset();
  refill();
}

void SandboxPool::refill() {
  for (std::size_t slot = 0; slot < boxes_.size(); ++slot) {
    if (!boxes_[slot])
      start(slot);
  }
}

void SandboxPool::start(std::size_t slot) {
  LaunchPlan plan = plan_;
  plan.user = sandbox_user(n_started_++);
  if (!folder_.empty()) {
    plan.working_folder = fmt::format("{}/{}", folder_, slot);
    std::error_code ignored;
    std::filesystem::remove_all(plan.working_folder, ignored);
    std::filesystem::create_directory(plan.working_folder);
    if (plan.user.uid != 0 &&
        ::chown(plan.working_folder.c_str(), plan.user.uid, plan.user.uid) != 0)
      throw SandboxUnavailable(fmt::format("sandbox: cannot give away {}", plan.working_folder));
  }
  boxes_[slot] = std::make_unique<Box>(plan);
}

void SandboxPool::wait_for_events() const {
  std::vector<pollfd> events;
  for (const auto& box : boxes_) {
    for (const pollfd& wanted : box->wanted_events()) events.push_back(wanted);
  }
  ::poll(events.data(), events.size(), kLookEveryMilliseconds);
}

std::size_t SandboxPool::running() const {
  return static_cast<std::size_t>(std::ranges::count_if(
      boxes_, [](const auto& box) { return box->state() == Box::State::kRunning; }));
}

void SandboxPool::hand_out(Progress& progress) {
  std::size_t n = running();
  for (const auto& box : boxes_) {
    if (progress.open.empty() || n >= workers_)
      return;
    if (box->state() != Box::State::kReady)
      continue;
    const std::size_t index = progress.open.front();
    progress.open.pop_front();
    ++progress.attempts[index];
    box->give(progress.jobs[index], index);
    ++n;
  }
}

void SandboxPool::note_failed_start(const Box& box) {
  if (++failed_starts_ < kMostFailedStarts) {
    ::usleep(100000);  // what was short may be there again
    return;
  }
  const std::string printed = replace_invalid_utf8(strip_ascii_space(box.printed()));
  throw SandboxUnavailable(
      fmt::format("sandbox: no sandbox starts: {}", printed.empty() ? "it said nothing" : printed));
}

void SandboxPool::collect(Progress& progress) {
  for (auto& box : boxes_) {
    box->work();
    if (box->state() == Box::State::kReady)
      failed_starts_ = 0;
    if (box->state() != Box::State::kGone)
      continue;
    if (!box->job_index()) {
      if (!box->was_ready())
        note_failed_start(*box);
    } else {
      const std::size_t index = *box->job_index();
      const ExecResult& result = box->outcome().result;
      const bool failed = result.status == ExecStatus::kSandboxError || result.starved;
      if (failed && progress.attempts[index] < kMostAttempts) {
        progress.open.push_back(index);
      } else {
        progress.outcomes[index] = box->outcome();
        ++progress.n_done;
        if (progress.on_done)
          progress.on_done(index, progress.outcomes[index]);
      }
    }
    box.reset();
  }
}

std::vector<JobOutcome> SandboxPool::run(std::span<const SandboxJob> jobs,
                                         const Callback& on_done) {
  Progress progress{jobs, on_done, {}, std::vector<int>(jobs.size()), {}, 0};
  progress.outcomes.resize(jobs.size());
  for (std::size_t i = 0; i < jobs.size(); ++i) progress.open.push_back(i);
  for (auto& box : boxes_) {
    if (box && box->job_index())
      box.reset();  // of a run that was given up
  }
  refill();
  collect(progress);  // what ended while it waited, the first to go where memory was short
  while (progress.n_done < jobs.size()) {
    refill();
    hand_out(progress);
    wait_for_events();
    collect(progress);
  }
  refill();
  return std::move(progress.outcomes);
}

std::int64_t SandboxPool::count_strays() const {
  std::int64_t n = 0;
  for (int attempt = 0; attempt < 40; ++attempt) {
    std::set<pid_t> strays;
    for (const pid_t process : processes_with_environment(plan_.mark)) strays.insert(process);
    for (const auto& box : boxes_) {
      for (const pid_t process : process_tree(box->process())) strays.erase(process);
    }
    n = std::ssize(strays);
    if (n == 0)
      break;
    ::usleep(50000);
  }
  return n;
}

}  // namespace dlm
