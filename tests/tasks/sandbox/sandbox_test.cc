#include "tasks/sandbox/sandbox.h"

#include <array>
#include <chrono>
#include <csignal>
#include <fstream>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>
#include <sys/syscall.h>

#include "harness/base/error.h"
#include "harness/base/json.h"
#include "harness/base/text.h"
#include "tasks/sandbox/process_tree.h"
#include "tests/tasks/sandbox/open_sandbox.h"

namespace dlm {
namespace {

ExecResult run_one(const std::string& source, const std::string& checks,
                   std::vector<std::string> tested = {}) {
  const std::array programs{SandboxProgram{source, checks, std::move(tested)}};
  return testing::small_sandbox().run(programs).front();
}

TEST(Sandbox, KeepsTheVerdictsApart) {
  DLM_REQUIRE_SANDBOX();
  EXPECT_EQ(run_one("x = 1", "assert x == 1").status, ExecStatus::kPassed);
  const ExecResult wrong = run_one("x = 1", "assert x == 2, 'two'");
  EXPECT_EQ(wrong.status, ExecStatus::kWrong);
  EXPECT_EQ(wrong.detail, "AssertionError: two");
  EXPECT_EQ(run_one("x = (", "").detail, "SyntaxError: '(' was never closed (<program>, line 1)");
  EXPECT_EQ(run_one("import os\nos.abort()", "").detail, "signal 6 (SIGABRT)");
  EXPECT_EQ(run_one("import os\nos._exit(3)", "").detail, "exit 3 before its checks ended");
  const ExecResult slow = run_one("while True: pass", "");
  EXPECT_EQ(slow.status, ExecStatus::kTimeout);
  EXPECT_GT(slow.cpu_seconds, 1);
  EXPECT_LT(slow.cpu_seconds, 2);
}

TEST(Sandbox, GivesResultsInTheProgramsOrderAndReportsEachOnce) {
  DLM_REQUIRE_SANDBOX();
  std::vector<SandboxProgram> programs;
  for (int i = 0; i < 24; ++i)
    programs.push_back({fmt::format("x = {}", i), "assert x % 3 == 0", {}});
  std::multiset<std::size_t> reported;
  const auto results = testing::small_sandbox().run(
      programs, [&](std::size_t index, const ExecResult&) { reported.insert(index); });
  ASSERT_EQ(results.size(), programs.size());
  for (std::size_t i = 0; i < results.size(); ++i) {
    EXPECT_EQ(results[i].status == ExecStatus::kPassed, i % 3 == 0) << i;
    EXPECT_EQ(reported.count(i), 1U);
  }
}

TEST(Sandbox, HoldsNothingOfTheProgramBefore) {
  DLM_REQUIRE_SANDBOX();
  const std::string leaves = "open('/tmp/left', 'w').close()\nimport builtins\nbuiltins.left = 1\n";
  const std::string looks = "import os\nfound = os.listdir('/tmp') + os.listdir('/dev/shm')\n";
  std::vector<SandboxProgram> programs;
  for (int i = 0; i < 8; ++i) {
    programs.push_back({leaves, "", {}});
    programs.push_back({looks, "assert found == []\nassert 'left' not in dir(__builtins__)", {}});
  }
  for (const ExecResult& result : testing::small_sandbox().run(programs))
    EXPECT_EQ(result.status, ExecStatus::kPassed) << result.detail;
}

TEST(Sandbox, RunsTheSameWayEveryTime) {
  DLM_REQUIRE_SANDBOX();
  const std::array<std::string, 6> texts{"", "", "", "", "", ""};
  std::set<std::string> orders;
  for (const auto& answer : testing::small_sandbox().apply(
           "result = ' '.join({'one', 'two', 'three', 'four', 'five', 'six'})", texts))
    orders.insert(answer.text);
  EXPECT_EQ(orders.size(), 1U);  // by chance once in 720^5 runs
}

TEST(Sandbox, ShowsChecksTheGlobalsButNotTheirBuiltins) {
  DLM_REQUIRE_SANDBOX();
  const std::string source = "def sum(values): return 7\ndef twice(x): return sum([x])\n";
  EXPECT_EQ(run_one(source, "assert twice(1) == 7 and sum([1]) == 1").status, ExecStatus::kPassed);
  EXPECT_EQ(run_one(source, "assert sum([1]) == 7", {"sum"}).status, ExecStatus::kPassed);
}

// Both processes run the checks to their end; the verdict is the program's own process's.
TEST(Sandbox, HearsTheProgramsOwnProcessAlone) {
  DLM_REQUIRE_SANDBOX();
  EXPECT_EQ(run_one("import os\nchild = os.fork()", "pass").status, ExecStatus::kPassed);
  EXPECT_EQ(run_one("import os\nchild = os.fork()", "assert child != 0").status,
            ExecStatus::kPassed);
  EXPECT_EQ(run_one("import os\nchild = os.fork()", "assert child == 0").status,
            ExecStatus::kWrong);
}

TEST(Sandbox, LeavesAModuleWithoutAName) {
  DLM_REQUIRE_SANDBOX();
  EXPECT_EQ(run_one("if __name__ == '__main__':\n    raise SystemExit(1)", "").status,
            ExecStatus::kPassed);
}

TEST(Sandbox, TakesAnyText) {
  DLM_REQUIRE_SANDBOX();
  EXPECT_EQ(
      run_one("# " + std::string(3 << 20, 'x') + "\nx = '\xC3\xA9'", "assert ord(x) == 233").status,
      ExecStatus::kPassed);
  EXPECT_EQ(run_one(std::string("x = '\0'", 7), "").detail,
            "ValueError: source code string cannot contain null bytes");
  EXPECT_EQ(run_one("\xFF", "").status, ExecStatus::kWrong);
  const ExecResult said = run_one("raise ValueError('\\udc80\\n' + 'x' * 100000)", "");
  EXPECT_TRUE(said.detail.starts_with("ValueError: \\udc80\nxxx")) << said.detail;
  EXPECT_LT(said.detail.size(), 500U);
}

TEST(Sandbox, AppliesToolsToTexts) {
  DLM_REQUIRE_SANDBOX();
  const std::array<std::string, 2> texts{"a\n\xC3\xA9", "3"};
  const auto answers =
      testing::small_sandbox().apply("result = text + '!' if len(text) > 1 else str(1 / 0)", texts);
  EXPECT_EQ(answers[0].text, "a\n\xC3\xA9!");
  EXPECT_EQ(answers[0].result.status, ExecStatus::kPassed);
  EXPECT_EQ(answers[1].text, "");
  EXPECT_EQ(answers[1].result.detail, "ZeroDivisionError: division by zero");
}

TEST(Sandbox, SaysWhatItIs) {
  DLM_REQUIRE_SANDBOX();
  const Json settings = parse_json(testing::small_sandbox().settings_json(), "settings");
  EXPECT_EQ(settings["isolation"], "bubblewrap");
  EXPECT_EQ(settings["interpreter_sha256"].get<std::string>().size(), 64U);
  EXPECT_TRUE(settings["interpreter_version"].get<std::string>().starts_with("3."));
  const Json environment = parse_json(testing::small_sandbox().environment_json(), "environment");
  EXPECT_GT(environment["reference_loop_seconds"].get<double>(), 0);
  EXPECT_GE(environment["cpu_limit_seconds"].get<double>(), 1);
}

TEST(Sandbox, RunsWithoutIsolationOnlyWhenAskedAndSaysSo) {
  SandboxOptions options = battery_options();
  options.isolation = Isolation::kNone;
  options.time_limit_seconds = 0.3;
  Sandbox open(options);
  const std::array programs{
      SandboxProgram{"import os\nx = os.path.exists('/etc/passwd')", "assert x", {}},
      SandboxProgram{"open('own', 'w').close()\nimport time\ntime.sleep(60)", "", {}},
      SandboxProgram{"b = bytearray(8 << 30)", "", {}}};
  const auto results = open.run(programs);
  EXPECT_EQ(results[0].status, ExecStatus::kPassed) << results[0].detail;
  EXPECT_EQ(results[1].status, ExecStatus::kTimeout);
  EXPECT_EQ(results[2].detail, "MemoryError: ");
  EXPECT_EQ(parse_json(open.settings_json(), "settings")["isolation"], "none");
}

TEST(Sandbox, RefusesWhatItCanNotDo) {
  SandboxOptions options;
  options.interpreter = "/nowhere/python3";
  EXPECT_THROW(Sandbox{options}, ConfigError);
  options.interpreter = "/etc/passwd";
  EXPECT_THROW(Sandbox{options}, ConfigError);
  options = {};
  options.time_limit_seconds = 0;
  EXPECT_THROW(Sandbox{options}, ConfigError);
  DLM_REQUIRE_SANDBOX();
  options = {};
  options.interpreter = "/usr/bin/true";  // ends before it takes a program
  EXPECT_THROW(Sandbox{options}, SandboxUnavailable);
}

// A sandbox of one worker, so two interpreters are there while it has nothing to do.
class IdleSandbox : public ::testing::Test {
 protected:
  void SetUp() override {
    DLM_REQUIRE_SANDBOX();
    SandboxOptions options = battery_options();
    options.workers = 1;
    options.time_limit_seconds = 0.1;
    sandbox_ = std::make_unique<Sandbox>(options);
  }

  // Both, once they wait for a job: they read from descriptor 3.
  std::vector<pid_t> interpreters() const {
    std::vector<pid_t> waiting;
    for (int attempt = 0; attempt < 600 && waiting.size() < 2; ++attempt) {
      std::this_thread::sleep_for(std::chrono::milliseconds(50));
      waiting.clear();
      for (const pid_t process : processes_with_environment(sandbox_->mark())) {
        std::ifstream file(fmt::format("/proc/{}/syscall", process));
        std::string call;
        std::getline(file, call);
        if (call.starts_with(fmt::format("{} 0x3 ", SYS_read)))
          waiting.push_back(process);
      }
    }
    return waiting;
  }

  ExecResult run_right_program() {
    const std::array programs{SandboxProgram{"x = 1", "assert x == 1", {}}};
    return sandbox_->run(programs).front();
  }

  std::unique_ptr<Sandbox> sandbox_;
};

// Where memory is short, what waits is the first to go.
TEST_F(IdleSandbox, ThatWasKilledIsReplacedBeforeTheNextProgram) {
  const std::vector<pid_t> killed = interpreters();
  ASSERT_EQ(killed.size(), 2U);
  for (const pid_t process : killed) ASSERT_EQ(::kill(process, SIGKILL), 0);
  std::this_thread::sleep_for(std::chrono::milliseconds(200));
  const ExecResult result = run_right_program();
  EXPECT_EQ(result.status, ExecStatus::kPassed) << result.detail;
}

// A program that nothing ran is neither slow nor wrong.
TEST_F(IdleSandbox, ThatTakesNoProgramGivesNoVerdictOnIt) {
  const std::vector<pid_t> stopped = interpreters();
  ASSERT_EQ(stopped.size(), 2U);
  for (const pid_t process : stopped) ASSERT_EQ(::kill(process, SIGSTOP), 0);
  EXPECT_EQ(run_right_program().status, ExecStatus::kSandboxError);
  EXPECT_EQ(run_right_program().status, ExecStatus::kPassed);
}

// A count that could not differ from 0 would prove nothing: without isolation a process of a
// session of its own outlives its sandbox.
TEST(Sandbox, CountsWhatOutlivesIt) {
  SandboxOptions options = battery_options();
  options.isolation = Isolation::kNone;
  Sandbox open(options);
  EXPECT_EQ(open.count_strays(), 0);
  const std::array programs{
      SandboxProgram{"import os, time\nchild = os.fork()\nif child == 0:\n"
                     "    os.setsid()\n    time.sleep(60)\n"
                     "while os.getsid(child) == os.getsid(0):\n    time.sleep(0.001)\n",
                     "raise ValueError(child)",
                     {}}};
  const ExecResult result = open.run(programs).front();
  ASSERT_TRUE(result.detail.starts_with("ValueError: ")) << result.detail;
  EXPECT_EQ(open.count_strays(), 1);
  const auto stray = parse_int(result.detail.substr(result.detail.find(' ') + 1));
  ASSERT_EQ(::kill(static_cast<pid_t>(stray.value()), SIGKILL), 0);
  EXPECT_EQ(open.count_strays(), 0);
}

TEST(HostileBattery, IsHeld) {
  DLM_REQUIRE_SANDBOX();
  const Battery battery = run_battery(testing::small_sandbox());
  EXPECT_GE(battery.rows.size(), 40U);
  for (const BatteryRow& row : battery.rows) {
    EXPECT_TRUE(row.held()) << row.hostile.name << ": " << status_name(row.result.status) << ", "
                            << row.result.detail;
  }
  EXPECT_EQ(battery.left_behind, 0);
  EXPECT_TRUE(battery.file_intact);
}

// A battery that could not fail would prove nothing: without isolation programs get out. Those that
// only look.
TEST(HostileBattery, SeesProgramsThatGetOut) {
  SandboxOptions options = battery_options();
  options.isolation = Isolation::kNone;
  Sandbox open(options);
  std::vector<HostileProgram> reaching;
  for (HostileProgram& hostile : hostile_programs({"/etc/passwd", "none"})) {
    if (hostile.name == "reads home" || hostile.name == "reads /proc" || hostile.name == "network")
      reaching.push_back(std::move(hostile));
  }
  ASSERT_EQ(reaching.size(), 3U);
  for (const HostileProgram& hostile : reaching) {
    const std::array programs{hostile.program};
    EXPECT_NE(open.run(programs).front().status, hostile.expected) << hostile.name;
  }
}

}  // namespace
}  // namespace dlm
