#include "tasks/sandbox/sandbox.h"

#include <algorithm>
#include <array>
#include <filesystem>
#include <thread>
#include <utility>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "harness/base/file.h"
#include "harness/base/json.h"
#include "harness/base/text.h"
#include "tasks/sandbox/pool.h"

namespace dlm {
namespace {

// Seconds of CPU time that kReferenceLoop takes on the machine that time limits are stated for.
constexpr double kReferenceSeconds = 0.1;

constexpr const char* kReferenceLoop =
    "import time\n"
    "start = time.process_time()\n"
    "state, seen = 1, {}\n"
    "for i in range(400000):\n"
    "    state = (state * 1103515245 + 12345) % 2147483648\n"
    "    seen[state & 1023] = i\n"
    "result = repr(time.process_time() - start)\n";

constexpr const char* kVersionTool = "import sys\nresult = sys.version\n";

void check_positive(const char* field, double value) {
  if (!(value > 0))
    throw ConfigError(field, fmt::format("{}", value), "greater than 0");
}

void check_options(const SandboxOptions& options) {
  check_positive("time_limit", options.time_limit_seconds);
  if (options.time_limit_seconds > 3600)
    throw ConfigError("time_limit", fmt::format("{}", options.time_limit_seconds),
                      "at most 3600 seconds");
  check_positive("memory", static_cast<double>(options.memory_bytes));
  check_positive("address_space", static_cast<double>(options.address_space_bytes));
  check_positive("output", static_cast<double>(options.output_bytes));
  check_positive("disk", static_cast<double>(options.disk_bytes));
  check_positive("processes", static_cast<double>(options.processes));
  check_positive("open_files", static_cast<double>(options.open_files));
  if (options.workers < 0 || options.workers > 32)
    throw ConfigError("workers", fmt::format("{}", options.workers), "0 to 32");
}

// The file itself: the sandbox holds what lies below /usr and nothing else.
std::string resolved_interpreter(const SandboxOptions& options) {
  std::error_code error;
  const std::string path = std::filesystem::canonical(options.interpreter, error).string();
  if (error || !file_exists(path))
    throw ConfigError("python", options.interpreter, "the path of a Python 3 interpreter");
  if (options.isolation == Isolation::kBubblewrap && !path.starts_with("/usr/"))
    throw ConfigError("python", options.interpreter, "an interpreter below /usr");
  return path;
}

std::int64_t workers_of(const SandboxOptions& options) {
  if (options.workers > 0)
    return options.workers;
  return std::clamp<std::int64_t>(std::thread::hardware_concurrency(), 1, 32);
}

}  // namespace

const char* status_name(ExecStatus status) {
  switch (status) {
    case ExecStatus::kPassed:
      return "passed";
    case ExecStatus::kWrong:
      return "wrong";
    case ExecStatus::kTimeout:
      return "timeout";
    case ExecStatus::kCrashed:
      return "crashed";
    case ExecStatus::kSandboxError:
      break;
  }
  return "sandbox_error";
}

Sandbox::Sandbox(const SandboxOptions& options) {
  check_options(options);
  LaunchPlan plan;
  plan.options = options;
  plan.interpreter = resolved_interpreter(options);
  // Enough for the reference loop on a very slow machine.
  plan.cpu_limit_seconds = 30;
  pool_ = std::make_unique<SandboxPool>(plan, workers_of(options));
  const std::array<std::string, 1> nothing{};
  const std::string version = apply(kVersionTool, nothing).front().text;
  double seconds = kReferenceSeconds * 1000;
  for (int i = 0; i < 3; ++i) {
    const std::string answer = apply(kReferenceLoop, nothing).front().text;
    const auto measured = parse_double(answer);
    if (version.empty() || !measured)
      throw SandboxUnavailable(
          fmt::format("sandbox: {} does not run Python 3 programs", plan.interpreter));
    seconds = std::min(seconds, *measured);
  }
  const double factor = std::max(1.0, seconds / kReferenceSeconds);
  pool_->set_cpu_limit_seconds(factor * options.time_limit_seconds);
  const bool isolated = options.isolation == Isolation::kBubblewrap;
  settings_json_ = canonical_json({{"isolation", isolated ? "bubblewrap" : "none"},
                                   {"interpreter", plan.interpreter},
                                   {"interpreter_version", version},
                                   {"interpreter_sha256", sha256_hex_of_file(plan.interpreter)},
                                   {"time_limit_seconds", options.time_limit_seconds},
                                   {"memory_bytes", options.memory_bytes},
                                   {"address_space_bytes", options.address_space_bytes},
                                   {"output_bytes", options.output_bytes},
                                   {"disk_bytes", options.disk_bytes},
                                   {"processes", options.processes},
                                   {"open_files", options.open_files}});
  environment_json_ = canonical_json(
      {{"reference_loop_seconds", seconds},
       {"time_limit_factor", factor},
       {"cpu_limit_seconds", factor * options.time_limit_seconds},
       {"wall_limit_seconds", wall_limit_seconds(factor * options.time_limit_seconds)}});
}

Sandbox::~Sandbox() = default;

std::int64_t Sandbox::count_strays() const {
  return pool_->count_strays();
}

const std::string& Sandbox::mark() const {
  return pool_->mark();
}

std::vector<JobOutcome> Sandbox::run_jobs(std::span<const SandboxJob> jobs,
                                          const ExecCallback& on_done) {
  return pool_->run(jobs, [&](std::size_t index, const JobOutcome& outcome) {
    if (on_done)
      on_done(index, outcome.result);
  });
}

std::vector<ExecResult> Sandbox::run(std::span<const SandboxProgram> programs,
                                     const ExecCallback& on_done) {
  std::vector<SandboxJob> jobs;
  for (const SandboxProgram& program : programs) {
    jobs.push_back({SandboxJob::Kind::kProgram, program.source, program.checks,
                    fmt::format("{}", fmt::join(program.tested, "\n"))});
  }
  std::vector<ExecResult> results;
  for (JobOutcome& outcome : run_jobs(jobs, on_done)) results.push_back(std::move(outcome.result));
  return results;
}

std::vector<Sandbox::Answer> Sandbox::apply(const std::string& tool,
                                            std::span<const std::string> texts) {
  std::vector<SandboxJob> jobs;
  for (const std::string& text : texts) jobs.push_back({SandboxJob::Kind::kTool, tool, text, ""});
  std::vector<Answer> answers;
  for (JobOutcome& outcome : run_jobs(jobs, {}))
    answers.push_back({std::move(outcome.answer), std::move(outcome.result)});
  return answers;
}

}  // namespace dlm
