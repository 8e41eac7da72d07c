// Keeps sandboxes started ahead of need and hands them jobs.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "tasks/sandbox/box.h"

namespace dlm {

class SandboxPool {
 public:
  // `workers` jobs run at once; as many sandboxes more are started ahead. Throws
  // SandboxUnavailable.
  SandboxPool(const LaunchPlan& plan, std::int64_t workers);
  ~SandboxPool();

  // For sandboxes that start from now on.
  void set_cpu_limit_seconds(double seconds);

  using Callback = std::function<void(std::size_t, const JobOutcome&)>;

  // Outcomes in the jobs' order. Throws SandboxUnavailable where three starts in a row failed.
  std::vector<JobOutcome> run(std::span<const SandboxJob> jobs, const Callback& on_done);

  // Processes of earlier jobs that still live; waits up to two seconds for them to go.
  std::int64_t count_strays() const;

  // An entry of the environment of all that it starts.
  const std::string& mark() const { return plan_.mark; }

 private:
  struct Progress;

  void refill();
  void start(std::size_t slot);
  void wait_for_events() const;
  void hand_out(Progress& progress);
  void collect(Progress& progress);
  void note_failed_start(const Box& box);
  std::size_t running() const;

  LaunchPlan plan_;
  std::size_t workers_;
  std::vector<std::unique_ptr<Box>> boxes_;  // one a slot
  std::string folder_;                       // without isolation: where programs' folders are
  std::uint32_t n_started_ = 0;
  int failed_starts_ = 0;
};

}  // namespace dlm
