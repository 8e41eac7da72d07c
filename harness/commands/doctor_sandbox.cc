#include "harness/commands/doctor_sandbox.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdio>
#include <thread>
#include <vector>

#include <nlohmann/json.hpp>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include "harness/base/error.h"
#include "harness/base/json.h"
#include "harness/base/stats.h"
#include "harness/commands/command.h"
#include "results/table.h"
#include "tasks/sandbox/hostile_programs.h"

namespace dlm {
namespace {

constexpr std::size_t kTimedPrograms = 100;
constexpr int kTimedRounds = 3;

using Clock = std::chrono::steady_clock;

double milliseconds_each(Clock::time_point start) {
  return std::chrono::duration<double, std::milli>(Clock::now() - start).count() / kTimedPrograms;
}

// `python3 -I -S -c pass`, started `n` times one after the other.
void start_bare(const std::string& interpreter, std::size_t n) {
  std::string path = interpreter;
  std::array<std::string, 4> words{"-I", "-S", "-c", "pass"};
  const std::array<char*, 6> argv{path.data(),     words[0].data(), words[1].data(),
                                  words[2].data(), words[3].data(), nullptr};
  for (std::size_t i = 0; i < n; ++i) {
    pid_t child = 0;
    if (::posix_spawn(&child, path.c_str(), nullptr, nullptr, argv.data(), environ) == 0)
      ::waitpid(child, nullptr, 0);
  }
}

// Milliseconds for each program with all cores at work: bare starts, and sandboxed programs.
struct Cost {
  double bare, sandboxed;
};

Cost measure_cost(Sandbox& sandbox) {
  const Json settings = parse_json(sandbox.settings_json(), "sandbox");
  const auto interpreter = settings["interpreter"].get<std::string>();
  const std::size_t workers = std::clamp<std::size_t>(std::thread::hardware_concurrency(), 1, 32);
  const std::vector<SandboxProgram> programs(kTimedPrograms, {"pass", "pass", {}});
  std::vector<double> bare, sandboxed;
  for (int round = 0; round < kTimedRounds; ++round) {
    auto start = Clock::now();
    {
      std::vector<std::jthread> threads;
      for (std::size_t i = 0; i < workers; ++i)
        threads.emplace_back(start_bare, interpreter,
                             (kTimedPrograms + i) / workers);  // adds up to kTimedPrograms
    }
    bare.push_back(milliseconds_each(start));
    start = Clock::now();
    sandbox.run(programs);
    sandboxed.push_back(milliseconds_each(start));
  }
  const auto cores = static_cast<double>(workers);
  return {cores * quantile(bare, 0.5), cores * quantile(sandboxed, 0.5)};
}

Table battery_table(const Battery& battery) {
  Table table;
  table.columns = {
      {"program", "", Align::kLeft, Audience::kAll},  {"tries", "", Align::kLeft, Audience::kAll},
      {"held", "", Align::kLeft, Audience::kAll},     {"verdict", "", Align::kLeft, Audience::kAll},
      {"expected", "", Align::kLeft, Audience::kAll}, {"detail", "", Align::kLeft, Audience::kAll}};
  for (const BatteryRow& row : battery.rows) {
    table.rows.push_back({row.hostile.name, row.hostile.tries, row.held() ? "yes" : "NO",
                          status_name(row.result.status), status_name(row.hostile.expected),
                          row.result.detail});
  }
  table.rows.push_back({"afterwards", "processes left", battery.left_behind == 0 ? "yes" : "NO",
                        fmt::format("{}", battery.left_behind), "0", ""});
  table.rows.push_back({"afterwards", "a file of this machine", battery.file_intact ? "yes" : "NO",
                        battery.file_intact ? "unchanged" : "changed", "unchanged", ""});
  return table;
}

}  // namespace

int doctor_sandbox(const std::string& output_format) {
  Sandbox sandbox(battery_options());
  const Battery battery = run_battery(sandbox);
  Table table = battery_table(battery);
  const Cost cost = measure_cost(sandbox);
  table.rows.push_back({"cost of a program", "core milliseconds beyond Python's start", "",
                        fmt::format("{:.1f}", cost.sandboxed - cost.bare), "",
                        fmt::format("{:.1f} sandboxed, {:.1f} for python3 -I -S -c pass",
                                    cost.sandboxed, cost.bare)});
  fmt::print("{}", render(table, output_format));
  return battery.held() ? kExitOk : kExitRunFailed;
}

}  // namespace dlm
