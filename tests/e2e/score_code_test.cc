// `score humaneval` as a user types it, and `doctor sandbox`'s way out.
#include <string>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "harness/base/file.h"
#include "harness/base/json.h"
#include "tests/support/data.h"
#include "tests/support/process.h"

namespace dlm::testing {
namespace {

constexpr const char* kProblems =
    R"({"task_id":"t/0","prompt":"def f(x):\n","entry_point":"f","canonical_solution":"    return x",)"
    R"("test":"def check(f):\n    assert f(2) == 2"})"
    "\n"
    R"({"task_id":"t/1","prompt":"def g(x):\n","entry_point":"g","canonical_solution":"    return -x",)"
    R"("test":"def check(f):\n    assert f(2) == -2"})"
    "\n";

constexpr const char* kSamples = R"({"task_id":"t/0","completion":"    return x"})"
                                 "\n"
                                 R"({"task_id":"t/0","completion":"    return x\n\nThis is it!"})"
                                 "\n"
                                 R"~({"task_id":"t/1","completion":"    import os; os._exit(0)"})~"
                                 "\n"
                                 R"({"task_id":"t/1","completion":"    return x"})"
                                 "\n";

class ScoreCode : public ::testing::Test {
 protected:
  ScoreCode() {
    write_file_atomically(folder_.file("problems.jsonl"), kProblems);
    write_file_atomically(folder_.file("samples.jsonl"), kSamples);
  }

  std::vector<std::string> arguments(std::vector<std::string> more) const {
    std::vector<std::string> all{"score",  "humaneval",
                                 "--data", folder_.file("problems.jsonl"),
                                 "--db",   folder_.file("runs.db")};
    all.insert(all.end(), more.begin(), more.end());
    return all;
  }

  std::string samples() const { return folder_.file("samples.jsonl"); }

  static double value_of(const ProcessResult& result, const std::string& variant) {
    for (const Json& row : parse_json(result.out, "stdout")) {
      if (row["variant"] == variant)
        return row["value"];
    }
    return -1;
  }

  TemporaryFolder folder_;
};

bool has_sandbox() {
  return run_process({"bwrap", "--unshare-all", "--ro-bind", "/", "/", "true"}).code == 0;
}

TEST_F(ScoreCode, ShowsRawAndSanitisedSideBySideAndRemembers) {
  if (!has_sandbox())
    GTEST_SKIP() << "bubblewrap can not make name spaces on this machine";
  const auto words = arguments({"--generations", samples(), "-o", "json", "--k", "1,2,3"});
  const ProcessResult first = dlmbench(words);
  ASSERT_EQ(first.code, 0) << first.err;
  EXPECT_EQ(value_of(first, "k=1"), 0.25);
  EXPECT_EQ(value_of(first, "k=2"), 0.5);
  EXPECT_EQ(value_of(first, "k=1, sanitised"), 0.5);
  EXPECT_EQ(value_of(first, "k=3"), -1);  // there are no three samples
  EXPECT_EQ(value_of(first, "crashed"), 0.25);
  EXPECT_EQ(value_of(first, "wrong"), 0.5);
  const ProcessResult again = dlmbench(words);
  EXPECT_EQ(again.code, 0);
  EXPECT_EQ(again.out, first.out);
  EXPECT_NE(again.err.find("stored already"), std::string::npos) << again.err;

  const ProcessResult listed = dlmbench({"list", "--db", folder_.file("runs.db"), "-o", "json"});
  const std::string run = parse_json(listed.out, "list")[0]["run_id"];
  const ProcessResult rescored =
      dlmbench(arguments({"--run", run, "--sanitiser", "on", "-o", "json"}));
  EXPECT_EQ(rescored.code, 0) << rescored.err;
  EXPECT_EQ(value_of(rescored, "k=1, sanitised"), 0.5);
  EXPECT_EQ(value_of(rescored, "k=1"), -1);
}

// What a model writes after a prompt that opened a fence: the closing one, and a word on it.
TEST_F(ScoreCode, AProtocolsStopStringsEndTheTexts) {
  if (!has_sandbox())
    GTEST_SKIP() << "bubblewrap can not make name spaces on this machine";
  write_file_atomically(samples(),
                        R"({"task_id":"t/0","completion":"    return x\n```\nThis is it!"})"
                        "\n"
                        R"({"task_id":"t/1","completion":"    return -x\n```"})");
  const auto scored = [&](std::vector<std::string> more) {
    more.insert(more.end(), {"--generations", samples(), "--sanitiser", "off", "-o", "json"});
    return dlmbench(arguments(more));
  };
  EXPECT_EQ(value_of(scored({}), "k=1"), 0);
  EXPECT_EQ(value_of(scored({"--protocol", "humaneval_instruct"}), "k=1"), 1);
  EXPECT_EQ(scored({"--protocol", "mbpp_instruct"}).code, 1);
  EXPECT_EQ(scored({"--protocol", "humaneval_instrukt"}).code, 1);
}

TEST_F(ScoreCode, RefusesWhatItCanNotScore) {
  write_file_atomically(samples(), R"({"task_id":"t/0","completion":""})");
  ProcessResult result = dlmbench(arguments({"--generations", samples()}));
  EXPECT_EQ(result.code, 1);
  EXPECT_NE(result.err.find("t/1 has none"), std::string::npos) << result.err;
  write_file_atomically(samples(), R"({"task_id":"t/7","completion":""})");
  result = dlmbench(arguments({"--generations", samples()}));
  EXPECT_EQ(result.code, 1);
  EXPECT_NE(result.err.find("a problem of the task, found t/7"), std::string::npos) << result.err;
  EXPECT_EQ(dlmbench(arguments({})).code, 1);
  EXPECT_EQ(dlmbench(arguments({"--reference", "--k", "0"})).code, 1);
  EXPECT_EQ(dlmbench(arguments({"--reference", "--time-limit", "0"})).code, 1);
  EXPECT_EQ(dlmbench(arguments({"--reference", "--python", "/nowhere"})).code, 1);
}

TEST_F(ScoreCode, RunsWithoutIsolationOnlyWhenAskedAndSaysSo) {
  const ProcessResult result =
      dlmbench(arguments({"--reference", "--unsafe-no-sandbox", "--sanitiser", "off"}));
  EXPECT_EQ(result.code, 0) << result.err;
  EXPECT_NE(result.err.find("WITHOUT isolation"), std::string::npos) << result.err;
  const ProcessResult stored =
      dlmbench({"sql", "SELECT j ->> '$.sandbox.isolation' AS isolation FROM config", "--db",
                folder_.file("runs.db"), "-o", "json"});
  EXPECT_NE(stored.out.find("\"none\""), std::string::npos) << stored.out << stored.err;
}

// Inside a sandbox that forbids further name spaces there can be no other.
TEST_F(ScoreCode, RunsNothingWhereThereIsNoSandbox) {
  std::vector<std::string> inside{
      "bwrap", "--unshare-user", "--disable-userns", "--dev-bind", "/", "/", "--proc", "/proc"};
  std::vector<std::string> trial = inside;
  trial.emplace_back("true");
  if (run_process(trial).code != 0)
    GTEST_SKIP() << "bubblewrap can not forbid name spaces on this machine";
  inside.push_back(program_path());
  for (const std::string& word : arguments({"--reference"})) inside.push_back(word);
  const ProcessResult result = run_process(inside);
  EXPECT_EQ(result.code, 6) << result.err;
  EXPECT_NE(result.err.find("sandbox"), std::string::npos) << result.err;
  EXPECT_FALSE(file_exists(folder_.file("runs.db")));
}

}  // namespace
}  // namespace dlm::testing
