#include "results/merge.h"

#include <chrono>
#include <csignal>
#include <thread>

#include <gtest/gtest.h>

#include "harness/base/error.h"
#include "tests/results/child_process.h"
#include "tests/results/evidence_store.h"
#include "tests/results/expect_error.h"

namespace dlm {
namespace {

using testing::error_of;
using testing::EvidenceStore;
using namespace std::chrono_literals;

void as_is(std::int64_t, ExampleRow&) {}

std::vector<MergedRun> merge(const std::string& into, const std::string& from) {
  Store::open(into, {});
  Database target(into, Database::Mode::kReadWrite, 10s);
  target.execute("PRAGMA foreign_keys=ON");
  return merge_store(target, from);
}

std::vector<std::string> rows_of(const std::string& path, const std::string& run) {
  return testing::rows_bits(Store::open_read_only(path)->rows(run));
}

TEST(Merge, BringsRunsWithTheirRowsTextsAndEstimatesAndAgainNothing) {
  EvidenceStore a, b;
  const auto one = a.add("one", 5, as_is);
  const auto two = b.add("two", 7, [](std::int64_t i, ExampleRow& row) {
    row.output = fmt::format("text {}", i % 3);
    row.score = 1;
  });
  b.estimate(two, "nll", 3.5, 0.1);
  const auto merged = merge(a.path(), b.path());
  ASSERT_EQ(merged.size(), 1U);
  EXPECT_EQ(merged[0].outcome, MergeOutcome::kAdded);
  EXPECT_EQ(rows_of(a.path(), two), rows_of(b.path(), two));
  EXPECT_EQ(Store::open_read_only(a.path())->estimates(two).size(), 1U);
  EXPECT_EQ(rows_of(a.path(), one).size(), 5U);
  const auto again = merge(a.path(), b.path());
  ASSERT_EQ(again.size(), 1U);
  EXPECT_EQ(again[0].outcome, MergeOutcome::kThere);
}

TEST(Merge, SameKeyWithSameNumbersIsHistoryAndWithOthersAConflict) {
  EvidenceStore a, b, c;
  const auto kept = a.add("one", 5, as_is);
  const auto same = b.add("one", 5, [](std::int64_t, ExampleRow& row) { row.wall_ns *= 2; });
  const auto other = c.add("one", 5, [](std::int64_t, ExampleRow& row) { row.nll += 1; });
  EXPECT_EQ(merge(a.path(), b.path()).at(0).outcome, MergeOutcome::kDuplicate);
  const MergedRun conflict = merge(a.path(), c.path()).at(0);
  EXPECT_EQ(conflict.outcome, MergeOutcome::kConflict);
  EXPECT_CONTAINS(conflict.detail, "5 differing rows");
  const auto store = Store::open_read_only(a.path());
  EXPECT_EQ(
      render(store->query("SELECT count(*) AS n FROM run WHERE superseded_by IS NULL"), "csv"),
      "n\n1\n");
  EXPECT_EQ(store->resolve_run(same), same);
  EXPECT_THROW(store->resolve_run(other), ConfigError);
  EXPECT_EQ(merge(a.path(), b.path()).at(0).outcome, MergeOutcome::kThere);
}

TEST(Merge, UnfinishedRunsWaitAndSupersededOnesFollowTheirSuccessor) {
  EvidenceStore a, b;
  const auto old = b.add(testing::sample_header("one"), 3, as_is);
  const auto fresh = b.add(testing::sample_header("one"), 3, as_is, Restart::kFresh);
  b.store().begin_run(testing::sample_header("open"), Restart::kResume);
  const auto merged = merge(a.path(), b.path());
  ASSERT_EQ(merged.size(), 3U);
  EXPECT_EQ(merged[0].run_id, old);
  EXPECT_EQ(merged[0].outcome, MergeOutcome::kAdded);
  EXPECT_EQ(merged[1].run_id, fresh);
  EXPECT_EQ(merged[2].outcome, MergeOutcome::kUnfinished);
  const auto store = Store::open_read_only(a.path());
  EXPECT_EQ(render(store->query("SELECT run_id FROM run WHERE superseded_by IS NULL"), "csv"),
            "run_id\n" + fresh + "\n");
}

TEST(Merge, ATagOfTheTargetKeepsItsMeaning) {
  using Ids = std::vector<std::string>;
  EvidenceStore a, b;
  const auto one = a.add("one", 2, as_is);
  const auto two = b.add("two", 2, as_is);
  const auto open = b.store().begin_run(testing::sample_header("open"), Restart::kResume).run_id;
  a.store().set_tag("main", Ids{one});
  b.store().set_tag("main", Ids{two});
  b.store().set_tag("v1", Ids{two});
  b.store().set_tag("wip", Ids{two, open});
  const std::string expected = fmt::format("name,run_id\nmain,{}\nv1,{}\nwip,{}\n", one, two, two);
  for (int i = 0; i < 2; ++i) {  // again changes nothing
    merge(a.path(), b.path());
    EXPECT_EQ(render(Store::open_read_only(a.path())->query(
                         "SELECT name, run_id FROM tag ORDER BY name, run_id"),
                     "csv"),
              expected);
  }
  Database target(a.path(), Database::Mode::kReadWrite, 10s);
  const std::vector<TagDifference> tags = differing_tags(target, b.path());
  ASSERT_EQ(tags.size(), 2U);
  EXPECT_EQ(tags[0].name, "main");
  EXPECT_EQ(tags[0].in_both, 0);
  EXPECT_EQ(tags[1].name, "wip");
  EXPECT_EQ(tags[1].in_source, 2);
  EXPECT_EQ(tags[1].in_target, 1);
  EXPECT_EQ(tags[1].in_both, 1);
}

TEST(Merge, RefusesItselfAndWhatIsNoStore) {
  EvidenceStore a;
  a.add("one", 2, as_is);
  EXPECT_CONTAINS(error_of<DataError>([&] { merge(a.path(), a.path()); }), "the same file");
  const std::string text = a.file("notes.txt");
  write_file_atomically(text,
                        "not a database, but longer than the hundred bytes that a header has "
                        "in SQLite's file format: no store");
  EXPECT_CONTAINS(error_of<DataError>([&] { merge(a.path(), text); }), "not a SQLite database");
  EXPECT_THROW(merge(a.path(), a.file("missing.db")), DataError);
}

TEST(Merge, DefinitionsInAnotherUnitAreRefusedAndNothingChanges) {
  EvidenceStore a, b;
  a.estimate(a.add("one", 2, as_is), "nll", 3, 0.1);
  const auto two = b.add("two", 2, as_is);
  const std::vector<Estimate> estimates = {{"nll", "", 4, 0.1, 0.0, 3.8, 4.2, "t", 2, 2}};
  const std::vector<MetricDefinition> bits = {{"nll", "bits/token", "lo", "exact", ""}};
  b.store().add_estimates(two, estimates, bits);
  EXPECT_CONTAINS(error_of<DataError>([&] { merge(a.path(), b.path()); }), "bits/token");
  EXPECT_THROW(Store::open_read_only(a.path())->resolve_run(two), ConfigError);
}

// Sixteen shards, and a merger that is killed again and again at any moment.
TEST(MergeSlow, LosesNothingWhenKilled) {
  constexpr int kShards = 16;
  constexpr std::int64_t kRows = 400;
  std::vector<std::unique_ptr<EvidenceStore>> shards;
  std::vector<std::string> runs;
  for (int i = 0; i < kShards; ++i) {
    shards.push_back(std::make_unique<EvidenceStore>());
    runs.push_back(shards.back()->add(
        fmt::format("shard {}", i), kRows,
        [i](std::int64_t n, ExampleRow& row) { row.output = fmt::format("{} {}", i, n); }));
  }
  const testing::TemporaryFolder folder;
  const std::string all = folder.file("all.db");
  const auto merge_everything = [&] {
    for (const auto& shard : shards) merge(all, shard->path());
    return 0;
  };
  int killed = 0;
  for (int attempt = 0; attempt < 12; ++attempt) {
    const pid_t child = testing::start_child(merge_everything);
    std::this_thread::sleep_for(std::chrono::milliseconds(10 + 17 * attempt));
    ::kill(child, SIGKILL);
    killed += testing::wait_for_child(child) == -SIGKILL ? 1 : 0;
  }
  EXPECT_GE(killed, 3);
  ASSERT_EQ(testing::wait_for_child(testing::start_child(merge_everything)), 0);
  for (int i = 0; i < kShards; ++i) {
    const auto rows = rows_of(all, runs[static_cast<std::size_t>(i)]);
    EXPECT_EQ(rows.size(), static_cast<std::size_t>(kRows));
    EXPECT_EQ(rows, rows_of(shards[static_cast<std::size_t>(i)]->path(),
                            runs[static_cast<std::size_t>(i)]));
  }
  Database database(all, Database::Mode::kReadWrite, 10s);
  EXPECT_EQ(database.text("PRAGMA integrity_check"), "ok");
  EXPECT_EQ(database.integer("SELECT count(*) FROM sample"), kShards * kRows);
}

}  // namespace
}  // namespace dlm
