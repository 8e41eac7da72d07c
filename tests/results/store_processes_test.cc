// Several processes on one file, processes that are killed, and disks that are full.
#include <chrono>
#include <csignal>
#include <map>
#include <string>
#include <thread>
#include <vector>

#include <gtest/gtest.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/resource.h>

#include "harness/base/error.h"
#include "harness/base/random.h"
#include "results/store.h"
#include "tests/results/child_process.h"
#include "tests/results/expect_error.h"
#include "tests/results/sample_run.h"
#include "tests/support/data.h"

namespace dlm {
namespace {

using testing::error_of;
using testing::rows_bits;
using testing::sample_header;
using testing::sample_rows;
using testing::start_child;
using testing::wait_for_child;

constexpr std::int64_t kBatches = 25;
constexpr std::int64_t kBatch = 8;
constexpr std::int64_t kDocs = kBatches * kBatch;
constexpr int kNoMount = 77;

std::vector<std::string> expected_bits(std::int64_t n_docs) {
  std::map<std::pair<std::string, std::int64_t>, std::string> sorted;
  for (const ExampleRow& row : sample_rows(0, n_docs))
    sorted[{row.doc_id, row.rep}] = testing::row_bits(row);
  std::vector<std::string> bits;
  for (const auto& [key, value] : sorted) bits.push_back(value);
  return bits;
}

// What a runner does: begins the run, measures what is not stored yet, batch by batch, estimates
// from the stored rows, finishes. Waits where another process is at it.
int measure(const std::string& path, const RunHeader& header, std::chrono::microseconds pause) {
  const auto store = Store::open(path, {});
  OpenedRun run = store->begin_run(header, Restart::kResume);
  while (run.state == RunState::kBusy) {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
    run = store->begin_run(header, Restart::kResume);
  }
  if (run.state == RunState::kDone)
    return 0;
  std::map<std::string, int> stored;
  for (const ExampleRow& row : store->rows(run.run_id)) ++stored[row.doc_id];
  for (std::int64_t batch = 0; batch < kBatches; ++batch) {
    std::vector<ExampleRow> rows;
    for (ExampleRow& row : sample_rows(batch * kBatch, kBatch)) {
      if (stored.count(row.doc_id) == 0)
        rows.push_back(std::move(row));
    }
    std::this_thread::sleep_for(pause);
    store->add_rows(run.run_id, rows);
  }
  double nll = 0;
  for (const ExampleRow& row : store->rows(run.run_id)) nll += row.nll;
  const Estimate estimate = {"nll",        "",           nll / kDocs, std::nullopt, 0,
                             std::nullopt, std::nullopt, "",          kDocs,        kDocs};
  const MetricDefinition definition = {"nll", "nats", "lo", "exact", ""};
  store->add_estimates(run.run_id, std::span(&estimate, 1), std::span(&definition, 1));
  store->finish_run(run.run_id, {});
  return 0;
}

std::int64_t scalar(const std::string& path, const std::string& sql) {
  return std::get<std::int64_t>(Store::open_read_only(path)->query(sql).rows.at(0).at(0).value);
}

void expect_complete(const std::string& path, const std::string& run_id) {
  const auto store = Store::open_read_only(path);
  EXPECT_EQ(rows_bits(store->rows(run_id)), expected_bits(kDocs));
  EXPECT_EQ(
      store->query("SELECT 1 FROM run WHERE status='done' AND run_id='" + run_id + "'").rows.size(),
      1U);
}

TEST(StoreProcesses, DifferentRunsAtOnceLoseNothing) {
  const testing::TemporaryFolder folder;
  const std::string path = folder.file("runs.db");
  std::vector<pid_t> children;
  for (int i = 0; i < 4; ++i) {
    children.push_back(start_child([&path, i] {
      return measure(path, sample_header(fmt::format("{}", i)), std::chrono::microseconds(0));
    }));
  }
  for (const pid_t child : children) EXPECT_EQ(wait_for_child(child), 0);
  EXPECT_EQ(scalar(path, "SELECT count(*) FROM run"), 4);
  const Table runs = Store::open_read_only(path)->query("SELECT run_id FROM run");
  for (const auto& row : runs.rows) expect_complete(path, std::get<std::string>(row[0].value));
}

TEST(StoreProcesses, TheSameRunAtOnceIsMeasuredOnce) {
  const testing::TemporaryFolder folder;
  const std::string path = folder.file("runs.db");
  std::vector<pid_t> children;
  for (int i = 0; i < 4; ++i) {
    children.push_back(start_child(
        [&path] { return measure(path, sample_header("a"), std::chrono::microseconds(200)); }));
  }
  for (const pid_t child : children) EXPECT_EQ(wait_for_child(child), 0);
  EXPECT_EQ(scalar(path, "SELECT count(*) FROM run"), 1);
  EXPECT_EQ(scalar(path, "SELECT resumes FROM run"), 0);
  expect_complete(path, Store::open_read_only(path)->resolve_run("0"));
}

TEST(StoreProcesses, AKilledOwnerLeavesTheRunToTheNext) {
  const testing::TemporaryFolder folder;
  const std::string path = folder.file("runs.db");
  const pid_t owner =
      start_child([&path] { return measure(path, sample_header("a"), std::chrono::seconds(60)); });
  const auto store = Store::open(path, {});
  while (scalar(path, "SELECT count(*) FROM run") == 0)
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  EXPECT_EQ(store->begin_run(sample_header("a"), Restart::kResume).state, RunState::kBusy);
  ::kill(owner, SIGKILL);
  EXPECT_EQ(wait_for_child(owner), -SIGKILL);
  EXPECT_EQ(store->begin_run(sample_header("a"), Restart::kResume).state, RunState::kResumed);
}

// Ten kills, each at a moment drawn from a fixed seed within the 40 ms or more that a session
// takes.
TEST(StoreProcesses, KilledAndResumedEndsWithTheSameNumbersToTheBit) {
  const testing::TemporaryFolder folder;
  const std::string whole = folder.file("whole.db");
  const std::string killed = folder.file("killed.db");
  ASSERT_EQ(measure(whole, sample_header("a"), std::chrono::microseconds(0)), 0);
  int kills = 0;
  int kills_in_between = 0;
  for (std::uint64_t i = 0; i < 10; ++i) {
    const pid_t child = start_child(
        [&killed] { return measure(killed, sample_header("a"), std::chrono::microseconds(3000)); });
    const double moment = RandomStream(11, Purpose::kTest, i).uniform(0, 0);
    std::this_thread::sleep_for(std::chrono::microseconds(static_cast<int>(40000 * moment)));
    ::kill(child, SIGKILL);
    kills += wait_for_child(child) == -SIGKILL ? 1 : 0;
    const auto store = Store::open(killed, {});
    EXPECT_EQ(std::get<std::string>(store->query("PRAGMA integrity_check").rows[0][0].value), "ok");
    const Table n = store->query("SELECT count(*) FROM sample");
    const std::int64_t n_rows = std::get<std::int64_t>(n.rows[0][0].value);
    EXPECT_EQ(n_rows % kBatch, 0);
    kills_in_between += n_rows > 0 && n_rows < kDocs ? 1 : 0;
  }
  EXPECT_EQ(kills, 10);
  EXPECT_GE(kills_in_between, 1);
  ASSERT_EQ(measure(killed, sample_header("a"), std::chrono::microseconds(0)), 0);
  const auto a = Store::open_read_only(whole);
  const auto b = Store::open_read_only(killed);
  const std::string run_a = a->resolve_run("0");
  const std::string run_b = b->resolve_run("0");
  EXPECT_EQ(rows_bits(a->rows(run_a)), rows_bits(b->rows(run_b)));
  EXPECT_EQ(rows_bits(b->rows(run_b)), expected_bits(kDocs));
  ASSERT_EQ(b->estimates(run_b).size(), 1U);
  EXPECT_EQ(a->estimates(run_a)[0].value, b->estimates(run_b)[0].value);
}

// Adds rows until the disk is full: 0 where the error has `message`, the failed batch is gone, the
// earlier ones are there, and all of it can be written once there is room (`make_room`).
int fill_disk(const std::string& path, const std::string& message,
              const std::function<void()>& make_room) {
  const auto store = Store::open(path, {});
  const std::string run = store->begin_run(sample_header("a"), Restart::kResume).run_id;
  std::int64_t stored = 0;
  const auto add_batch = [&] {
    store->add_rows(run, sample_rows(stored, 50));
    stored += 50;
  };
  const std::string error = error_of<DataError>([&] {
    while (stored < 1000000) add_batch();
  });
  if (error.find(message) == std::string::npos) {
    fmt::print(stderr, "stored {}, error: {}\n", stored, error);
    return 1;
  }
  if (stored == 0 || rows_bits(store->rows(run)) != expected_bits(stored))
    return 2;
  make_room();
  add_batch();
  return rows_bits(store->rows(run)) == expected_bits(stored) ? 0 : 3;
}

TEST(StoreProcesses, AFullDiskKeepsWholeBatches) {
  const testing::TemporaryFolder folder;
  const int code = wait_for_child(start_child([&folder] {
    const char* target = folder.path().c_str();
    if (::unshare(CLONE_NEWNS) != 0 ||
        ::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0 ||
        ::mount("none", target, "tmpfs", 0, "size=1m") != 0)
      return kNoMount;
    return fill_disk(folder.file("runs.db"), "the disk is full; nothing of this batch was kept",
                     [&] {
                       if (::mount("none", target, "tmpfs", MS_REMOUNT, "size=8m") != 0)
                         throw Error("cannot make the disk larger");
                     });
  }));
  if (code == kNoMount)
    GTEST_SKIP()
        << "no right to mount a small disk; Database.SaysThatTheDiskIsFull... covers SQLite";
  EXPECT_EQ(code, 0);
}

TEST(StoreProcesses, AFileSizeLimitKeepsWholeBatches) {
  const testing::TemporaryFolder folder;
  EXPECT_EQ(wait_for_child(start_child([&folder] {
              ::signal(SIGXFSZ, SIG_IGN);
              struct rlimit limit = {1 << 20, RLIM_INFINITY};
              ::setrlimit(RLIMIT_FSIZE, &limit);
              return fill_disk(folder.file("runs.db"), "nothing of this batch was kept", [] {
                const struct rlimit none = {RLIM_INFINITY, RLIM_INFINITY};
                ::setrlimit(RLIMIT_FSIZE, &none);
              });
            })),
            0);
}

TEST(StoreProcesses, AnotherWriterIsWaitedForAndThenNamed) {
  const testing::TemporaryFolder folder;
  const std::string path = folder.file("runs.db");
  const auto store = Store::open(path, {{}, std::chrono::milliseconds(50)});
  const std::string run = store->begin_run(sample_header("a"), Restart::kResume).run_id;
  Database other(path, Database::Mode::kReadWrite, std::chrono::seconds(1));
  {
    const Transaction held(other);
    EXPECT_CONTAINS(error_of<DataError>([&] { store->add_rows(run, sample_rows(0, 1)); }),
                    "expected to be let in within 0.05 s, found another process writing to it");
  }
  store->add_rows(run, sample_rows(0, 1));
  EXPECT_EQ(store->rows(run).size(), 1U);
}

// The budget is 2 s for a release build on an idle machine (store_bench); here 5 times as much for
// a debug or sanitized build on a busy one.
TEST(StoreSlow, InsertsAHundredThousandRowsInTime) {
  const testing::TemporaryFolder folder;
  const auto store = Store::open(folder.file("runs.db"), {});
  const std::string run = store->begin_run(sample_header("a"), Restart::kResume).run_id;
  const std::vector<ExampleRow> rows = sample_rows(0, 100000);
  const auto start = std::chrono::steady_clock::now();
  for (std::size_t i = 0; i < rows.size(); i += 1000)
    store->add_rows(run, std::span(rows).subspan(i, 1000));
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
  EXPECT_LT(seconds.count(), 10);
  EXPECT_EQ(scalar(folder.file("runs.db"), "SELECT count(*) FROM sample"), 100000);
}

}  // namespace
}  // namespace dlm
