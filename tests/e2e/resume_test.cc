// A run that is killed at any moment and started again ends with the same rows and metrics, to the
// bit; two processes that write one file lose nothing.
#include <chrono>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <sys/types.h>
#include <unistd.h>

#include "harness/base/random.h"
#include "tests/support/data.h"
#include "tests/support/process.h"
#include "tests/support/tiny_model.h"

namespace dlm::testing {
namespace {

using Clock = std::chrono::steady_clock;

// What a run decided, without when and how fast: doubles as their bits.
constexpr const char* kRows =
    "select doc_id, rep, doc_sha, printf('%.17g', nll) as nll, n_tok, n_bytes, n_words, nfe, "
    "positions, head_rows, "
    "printf('%.17g', flops) as flops from sample order by doc_id, rep";
constexpr const char* kMetrics =
    "select metric, variant, printf('%.17g', value) as value, printf('%.17g', se_data) as se, "
    "printf('%.17g', ci_lo) as low, printf('%.17g', ci_hi) as high, n from metric order by metric, "
    "variant";

class Resume : public ::testing::Test {
 protected:
  Resume() {
    write_tiny_model(model_, {.layers = 3, .width = 64, .positions = 128});
    std::ofstream text(text_);
    const RandomStream random(1, Purpose::kTest, 0);
    for (std::uint64_t line = 0; line < 1500; ++line) {
      const std::uint64_t length = 5 + random.below(300, 0, line);
      for (std::uint64_t i = 0; i < length; ++i)
        text << static_cast<char>('a' + random.below(26, 1 + line, i));
      text << '\n';
    }
  }

  std::vector<std::string> command(const std::string& db) const {
    return {program_path(),
            "run",
            "--model",
            model_,
            "--task",
            "text:" + text_ + "?split=lines",
            "-b",
            "4",
            "--threads",
            "1",
            "--db",
            db,
            "-q"};
  }

  static std::string query(const std::string& db, const char* sql) {
    const ProcessResult result = dlmbench({"sql", sql, "--db", db, "-o", "csv"});
    EXPECT_EQ(result.code, 0) << result.err;
    return result.out;
  }

  TemporaryFolder folder_;
  std::string model_ = folder_.file("model");
  std::string text_ = folder_.file("text.txt");
};

TEST_F(Resume, SameRowsAndMetricsAfterTenKills) {
  const std::string whole = folder_.file("whole.db");
  const auto start = Clock::now();
  ASSERT_EQ(wait_for(start_process(command(whole))), 0);
  const double seconds = std::chrono::duration<double>(Clock::now() - start).count();

  const std::string killed = folder_.file("killed.db");
  const RandomStream random(2, Purpose::kTest, 0);
  std::vector<double> after;
  for (std::uint64_t i = 0; i < 10; ++i) after.push_back(seconds * random.uniform(0, i) / 5);
  EXPECT_GE(killed_at_work(command(killed), after), 8);
  ASSERT_EQ(wait_for(start_process(command(killed))), 0);
  EXPECT_EQ(query(killed, kRows), query(whole, kRows));
  EXPECT_EQ(query(killed, kMetrics), query(whole, kMetrics));
  EXPECT_EQ(query(killed, "select count(*) as n from run where status='done' and resumes >= 3"),
            "n\n1\n");
}

TEST_F(Resume, TwoProcessesOnOneFileLoseNothing) {
  const std::string db = folder_.file("shared.db");
  std::vector<std::string> other = command(db);
  other.insert(other.end(), {"--limit", "700"});
  const pid_t first = start_process(command(db));
  const pid_t second = start_process(other);
  EXPECT_EQ(wait_for(first), 0);
  EXPECT_EQ(wait_for(second), 0);
  EXPECT_EQ(query(db, "select count(*) as n from sample group by run_id order by n"),
            "n\n700\n1500\n");
  EXPECT_EQ(query(db, "select count(*) as n from run where status='done'"), "n\n2\n");
}

TEST_F(Resume, DoneRunIsNotMeasuredAgainUnlessAsked) {
  const std::string db = folder_.file("again.db");
  for (int i = 0; i < 2; ++i) ASSERT_EQ(wait_for(start_process(command(db))), 0);
  EXPECT_EQ(query(db, "select count(*) as n from run"), "n\n1\n");
  std::vector<std::string> fresh = command(db);
  fresh.emplace_back("--fresh");
  ASSERT_EQ(wait_for(start_process(fresh)), 0);
  EXPECT_EQ(query(db, "select count(*) as n from run"), "n\n2\n");
}

}  // namespace
}  // namespace dlm::testing
