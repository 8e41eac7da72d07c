#include "results/schema.h"

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include "harness/base/error.h"
#include "harness/base/file.h"
#include "tests/results/child_process.h"
#include "tests/results/expect_error.h"
#include "tests/results/sample_run.h"
#include "tests/support/data.h"

namespace dlm {
namespace {

using testing::error_of;
using namespace std::chrono_literals;

constexpr auto kReadWrite = Database::Mode::kReadWrite;
constexpr auto kCreate = Database::Mode::kCreate;

void make_store(const std::string& path) {
  Store::open(path, {});
}

// Every file of a folder with its bytes.
std::map<std::string, std::string> contents(const std::string& folder) {
  std::map<std::string, std::string> files;
  for (const auto& entry : std::filesystem::directory_iterator(folder))
    files[entry.path().filename().string()] = MappedFile::open(entry.path().string())->text();
  return files;
}

void expect_refused_untouched(const testing::TemporaryFolder& folder, const std::string& path,
                              const std::string& message) {
  const auto before = contents(folder.path());
  EXPECT_CONTAINS(error_of<DataError>([&] { Store::open(path, {}); }), message);
  EXPECT_CONTAINS(error_of<DataError>([&] { Store::open_read_only(path); }), message);
  EXPECT_EQ(contents(folder.path()), before);
}

TEST(Schema, NewFileIsMarkedAndStrict) {
  const testing::TemporaryFolder folder;
  make_store(folder.file("a.db"));
  Database database(folder.file("a.db"), kReadWrite, 1s);
  EXPECT_EQ(database.integer("PRAGMA application_id"), 0x4244424D);
  EXPECT_EQ(database.integer("PRAGMA user_version"), std::ssize(schema_steps()));
  EXPECT_EQ(database.text("PRAGMA journal_mode"), "wal");
  EXPECT_EQ(database.integer("SELECT count(*) FROM pragma_table_list WHERE schema='main' AND "
                             "type='table' AND NOT strict AND name NOT LIKE 'sqlite_%'"),
            0);
  EXPECT_EQ(database.integer("SELECT count(*) FROM pragma_table_list WHERE schema='main' AND "
                             "type='table' AND strict"),
            18);
}

TEST(Schema, ForeignFilesAreRefusedAndLeftUntouched) {
  const testing::TemporaryFolder folder;
  const std::string text = folder.file("notes.txt");
  write_file_atomically(text, "these are notes, not a database\n");
  expect_refused_untouched(folder, text,
                           text +
                               ": at byte 0: expected a dlmbench store, or no file yet, found a "
                               "file that is not a SQLite database");
  const std::string plain = folder.file("plain.db");
  { Database(plain, kCreate, 1s).execute("CREATE TABLE t(a)"); }
  expect_refused_untouched(folder, plain,
                           plain +
                               ": at byte 68: expected a dlmbench store, or no file yet, found "
                               "another program's database (application id 0x00000000)");
  const std::string other = folder.file("other.db");
  {
    Database(other, kCreate, 1s)
        .execute("PRAGMA journal_mode=WAL; PRAGMA application_id=0x12345678; CREATE TABLE t(a)");
  }
  expect_refused_untouched(folder, other, "another program's database (application id 0x12345678)");
  const std::string cut = folder.file("cut.db");
  write_file_atomically(cut, "SQLite format 3");
  expect_refused_untouched(folder, cut, "a file that is not a SQLite database");
}

TEST(Schema, FoldersDevicesAndMissingFoldersAreRefused) {
  const testing::TemporaryFolder folder;
  EXPECT_EQ(error_of<DataError>([&] { make_store(folder.path()); }),
            folder.path() + ": expected a dlmbench store, or no file yet, found a folder");
  const std::string pipe = folder.file("pipe");
  ASSERT_EQ(::mkfifo(pipe.c_str(), 0600), 0);
  EXPECT_CONTAINS(error_of<DataError>([&] { make_store(pipe); }), "not a regular file");
  EXPECT_EQ(error_of<DataError>([&] { make_store(folder.file("no/a.db")); }),
            folder.file("no") + ": expected a folder for the store, found no such folder");
  EXPECT_EQ(error_of<ConfigError>([&] { make_store(""); }), "db = '': the name of a file");
  EXPECT_EQ(error_of<DataError>([&] { Store::open_read_only(folder.file("a.db")); }),
            folder.file("a.db") + ": expected a dlmbench store, found no such file");
}

TEST(Schema, EmptyFileBecomesAStore) {
  const testing::TemporaryFolder folder;
  write_file_atomically(folder.file("a.db"), "");
  make_store(folder.file("a.db"));
  EXPECT_TRUE(Store::open_read_only(folder.file("a.db"))->query("SELECT * FROM run").rows.empty());
}

TEST(Schema, NewerFileIsRefused) {
  const testing::TemporaryFolder folder;
  const std::string path = folder.file("a.db");
  make_store(path);
  { Database(path, kReadWrite, 1s).execute("PRAGMA user_version=999"); }
  const std::string message = fmt::format(
      "{}: expected a store of version {} or older, found version 999, written by a newer dlmbench",
      path, schema_steps().size());
  EXPECT_EQ(error_of<DataError>([&] { make_store(path); }), message);
  EXPECT_EQ(error_of<DataError>([&] { Store::open_read_only(path); }), message);
}

// Runs `work` as a user without rights, as whom permission bits count also for a test run as root.
void expect_as_nobody(const std::function<int()>& work) {
  EXPECT_EQ(testing::wait_for_child(testing::start_child([&] {
              if (::getuid() == 0 && (::setgid(65534) != 0 || ::setuid(65534) != 0))
                return 98;
              return work();
            })),
            0);
}

// 0 where `work` throws a DataError whose text has `part`.
int check_error(const std::function<void()>& work, const std::string& part) {
  const std::string message = error_of<DataError>(work);
  if (message.find(part) != std::string::npos)
    return 0;
  std::fprintf(stderr, "no '%s' in: %s\n", part.c_str(), message.c_str());
  return 1;
}

TEST(Schema, UnwritableFilesAndFoldersAreNamed) {
  const testing::TemporaryFolder folder;
  const std::string path = folder.file("a.db");
  make_store(path);
  ::chmod(folder.path().c_str(), 0777);
  ::chmod(path.c_str(), 0444);
  expect_as_nobody([&] {
    return check_error([&] { make_store(path); },
                       path + ": expected a file that can be written to, found Permission denied");
  });
  ::chmod(path.c_str(), 0666);
  ::chmod(folder.path().c_str(), 0555);
  expect_as_nobody([&] {
    return check_error([&] { make_store(path); },
                       folder.path() + ": expected a folder that can be written to");
  });
}

TEST(Schema, StoreInAnUnwritableFolderCanBeRead) {
  const testing::TemporaryFolder folder;
  const std::string path = folder.file("a#b%20?.db");
  {
    const auto store = Store::open(path, {});
    const std::string run = store->begin_run(testing::sample_header("a"), Restart::kResume).run_id;
    store->add_rows(run, testing::sample_rows(0, 10));
  }
  ::chmod(path.c_str(), 0444);
  ::chmod(folder.path().c_str(), 0555);
  expect_as_nobody([&] {
    const auto store = Store::open_read_only(path);
    return store->query("SELECT * FROM sample").rows.size() == 10 ? 0 : 1;
  });
  ::chmod(folder.path().c_str(), 0755);
}

TEST(Schema, MigrationTakesAnOldFileForwardAndKeepsItsRows) {
  const testing::TemporaryFolder folder;
  const std::string path = folder.file("a.db");
  {
    Database version_1(path, kCreate, 1s);
    prepare_schema(version_1, schema_steps().first(1));
    EXPECT_EQ(version_1.integer("PRAGMA user_version"), 1);
    version_1.execute("INSERT INTO sweep VALUES('s', 'old', '{}')");
  }
  const std::vector<std::string_view> steps = {
      schema_steps()[0], "ALTER TABLE sweep ADD COLUMN note TEXT",
      "UPDATE sweep SET note = name || ' note'; CREATE TABLE extra(a INTEGER) STRICT"};
  Database database(path, kReadWrite, 1s);
  EXPECT_CONTAINS(error_of<DataError>([&] { check_schema_version(database, steps); }),
                  "expected a store of version 3, found version 1; `dlmbench list --db " + path +
                      "` brings it up to date");
  prepare_schema(database, steps);
  EXPECT_EQ(database.integer("PRAGMA user_version"), 3);
  EXPECT_EQ(database.text("SELECT note FROM sweep"), "old note");
  prepare_schema(database, steps);  // nothing left to do
  check_schema_version(database, steps);
  EXPECT_EQ(database.text("SELECT note FROM sweep"), "old note");
}

TEST(Schema, FailedMigrationLeavesTheFileAsItWas) {
  const testing::TemporaryFolder folder;
  const std::string path = folder.file("a.db");
  make_store(path);
  Database database(path, kReadWrite, 1s);
  const std::string before = database.text("SELECT group_concat(sql) FROM sqlite_master");
  std::vector<std::string_view> steps(schema_steps().begin(), schema_steps().end());
  steps.push_back("CREATE TABLE extra(a INTEGER) STRICT");
  steps.push_back("THIS IS NOT SQL");
  EXPECT_CONTAINS(error_of<InternalError>([&] { prepare_schema(database, steps); }),
                  "syntax error");
  steps.back() = "INSERT INTO metric(run_id,metric,value) VALUES('none','none',1)";
  EXPECT_CONTAINS(error_of<InternalError>([&] { prepare_schema(database, steps); }),
                  "migration breaks a reference of table metric");
  EXPECT_EQ(database.text("SELECT group_concat(sql) FROM sqlite_master"), before);
  EXPECT_EQ(database.integer("PRAGMA user_version"), std::ssize(schema_steps()));
  make_store(path);
}

TEST(Schema, ManyProcessesMayMakeTheFileAtOnce) {
  const testing::TemporaryFolder folder;
  for (int round = 0; round < 5; ++round) {
    const std::string path = folder.file(fmt::format("{}.db", round));
    std::vector<pid_t> children;
    for (int i = 0; i < 6; ++i) {
      children.push_back(testing::start_child([&] {
        Store::open(path, {{"seed"}, 30s});
        return 0;
      }));
    }
    for (const pid_t child : children) EXPECT_EQ(testing::wait_for_child(child), 0);
    Database database(path, kReadWrite, 1s);
    EXPECT_EQ(database.text("PRAGMA integrity_check"), "ok");
    EXPECT_EQ(database.text("PRAGMA journal_mode"), "wal");
  }
}

TEST(ConfigView, HasAColumnForEverySetting) {
  const testing::TemporaryFolder folder;
  const std::string path = folder.file("a.db");
  {
    const auto store = Store::open(path, {{"seed", "sampler.block_size", "sampler.name"}, 1s});
    store->begin_run(testing::sample_header("a"), Restart::kResume);
    const Table view = store->query("SELECT seed, block_size, name FROM v_config");
    EXPECT_EQ(render(view, "csv"), "seed,block_size,name\n7,4,ancestral\n");
  }
  const auto store = Store::open(path, {{"sampler.name", "model.name", "sampler.block_size"}, 1s});
  const Table view = store->query("SELECT * FROM v_config");
  ASSERT_EQ(view.columns.size(), 4U);
  EXPECT_EQ(view.columns[1].name, "sampler_name");
  EXPECT_EQ(view.columns[2].name, "model_name");
  EXPECT_EQ(view.columns[3].name, "block_size");
}

TEST(ConfigView, IsMadeAnewOnlyWhereItDiffers) {
  const testing::TemporaryFolder folder;
  const std::string path = folder.file("a.db");
  Database database(path, kCreate, 1s);
  prepare_schema(database, schema_steps());
  const std::vector<std::string> settings = {"a.b", "c"};
  prepare_config_view(database, settings);
  const std::int64_t version = database.integer("PRAGMA schema_version");
  prepare_config_view(database, settings);
  EXPECT_EQ(database.integer("PRAGMA schema_version"), version);
  prepare_config_view(database, std::span(settings).first(1));
  EXPECT_GT(database.integer("PRAGMA schema_version"), version);
  EXPECT_EQ(database.text("SELECT sql FROM sqlite_master WHERE name='v_config'"),
            "CREATE VIEW v_config AS SELECT config_id, json_extract(j,'$.\"a\".\"b\"') AS \"b\" "
            "FROM config");
}

TEST(ConfigView, RefusesWhatIsNotASetting) {
  const testing::TemporaryFolder folder;
  EXPECT_CONTAINS(error_of<InternalError>([&] {
                    Store::open(folder.file("a.db"), {{"a') FROM x"}, 1s});
                  }),
                  "'a') FROM x' is not the name of a setting");
}

TEST(Schema, VersionOneIsBroughtUpToDateWithItsRows) {
  const testing::TemporaryFolder folder;
  const std::string path = folder.file("a.db");
  {
    Database database(path, kCreate, 1s);
    prepare_schema(database, schema_steps().first(1));
    database.execute(
        "INSERT INTO env VALUES('e',NULL,NULL,NULL,NULL,NULL,NULL,'{}');"
        "INSERT INTO build VALUES('b',NULL,0,NULL,NULL,NULL,NULL,1,'{}');"
        "INSERT INTO model VALUES('m','name','family',1,'f32','w',NULL,'{}');"
        "INSERT INTO task VALUES('t','task',1,'likelihood','d',NULL,2,'{}');"
        "INSERT INTO config(config_id,j) VALUES('c','{}');"
        "INSERT INTO run(run_id,model_id,task_id,config_id,env_id,build_id,run_key,identity_json,"
        "seed,status,started_at) VALUES('R1','m','t','c','e','b','k','{}',1,'done','now'),"
        "('R2','m','t','c','e','b','k2','{}',1,'running','now');"
        "INSERT INTO sample(run_id,doc_id,rep,doc_sha) VALUES('R1','d1',0,'s'),('R1','d2',0,'s'),"
        "('R2','d1',0,'s');"
        "INSERT INTO metric_def VALUES('nll','nats/token','lo','');"
        "INSERT INTO metric(run_id,metric,value) VALUES('R1','nll',3.5);");
  }
  const auto store = Store::open(path, {});
  const auto csv = [&](const char* sql) { return render(store->query(sql), "csv"); };
  EXPECT_EQ(csv("SELECT run_id, stored_rows FROM run ORDER BY run_id"),
            "run_id,stored_rows\nR1,2\nR2,\n");
  EXPECT_EQ(csv("SELECT model, task, metric, value FROM v_result"),
            "model,task,metric,value\nname,task,nll,3.5\n");
  EXPECT_EQ(csv("SELECT count(*) AS n FROM v_gate"), "n\n0\n");
}

}  // namespace
}  // namespace dlm
