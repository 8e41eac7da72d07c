#include "results/sqlite.h"

#include <cstring>
#include <filesystem>
#include <limits>
#include <string>

#include <gtest/gtest.h>

#include "harness/base/error.h"
#include "harness/base/file.h"
#include "tests/results/expect_error.h"
#include "tests/support/data.h"

namespace dlm {
namespace {

using testing::error_of;
using namespace std::chrono_literals;

constexpr auto kCreate = Database::Mode::kCreate;

TEST(Statement, KeepsEveryBitOfEveryType) {
  const testing::TemporaryFolder folder;
  Database database(folder.file("a.db"), kCreate, 1s);
  database.execute("CREATE TABLE t(i INTEGER, r REAL, s TEXT, b BLOB, n TEXT) STRICT");
  const std::string text("a\0b\xff", 4);
  Statement insert = database.prepare("INSERT INTO t VALUES(?,?,?,?,?)");
  const double numbers[] = {5e-324, std::numeric_limits<double>::max(), 0.1, 0x1p53 + 2, -0x1p62,
                            3};
  for (const double number : numbers) {
    insert.bind_all(std::numeric_limits<std::int64_t>::min(), number, text);
    insert.bind_blob(4, text);
    insert.bind_null(5);
    insert.run();
  }
  Statement select = database.prepare("SELECT * FROM t ORDER BY rowid");
  for (const double number : numbers) {
    ASSERT_TRUE(select.step());
    EXPECT_EQ(select.integer(0), std::numeric_limits<std::int64_t>::min());
    EXPECT_EQ(select.real(1), number);
    EXPECT_EQ(select.text(2), text);
    EXPECT_EQ(select.text(3), text);
    EXPECT_EQ(select.type(4), ColumnType::kNull);
    EXPECT_EQ(select.optional_real(4), std::nullopt);
    EXPECT_EQ(select.optional_real(1), number);
  }
  EXPECT_FALSE(select.step());
}

TEST(Statement, TellsAnEmptyTextFromAMissingOne) {
  const testing::TemporaryFolder folder;
  Database database(folder.file("a.db"), kCreate, 1s);
  Statement select = database.prepare("SELECT ?, ?, ?");
  select.bind_all(std::string_view(), std::optional<std::string>(), absent_if_empty(""));
  ASSERT_TRUE(select.step());
  EXPECT_EQ(select.type(0), ColumnType::kText);
  EXPECT_EQ(select.type(1), ColumnType::kNull);
  EXPECT_EQ(select.type(2), ColumnType::kNull);
}

TEST(Database, PreparesExactlyOneStatement) {
  const testing::TemporaryFolder folder;
  Database database(folder.file("a.db"), kCreate, 1s);
  EXPECT_EQ(database.integer("SELECT 41 + 1; -- that is all\n ;"), 42);
  EXPECT_EQ(error_of<ConfigError>([&] { database.prepare("SELECT 1; SELECT 2"); }),
            "sql = 'SELECT 1; SELECT 2': exactly one statement");
  EXPECT_EQ(error_of<ConfigError>([&] { database.prepare(" "); }),
            "sql = ' ': exactly one statement");
  EXPECT_EQ(error_of<ConfigError>([&] { database.prepare("SELECT missing"); }),
            "sql = 'SELECT missing': no such column: missing");
}

TEST(Database, TreatsSpecialNamesAsFiles) {
  const testing::TemporaryFolder folder;
  const std::filesystem::path before = std::filesystem::current_path();
  std::filesystem::current_path(folder.path());
  { Database(":memory:", kCreate, 1s).execute("CREATE TABLE t(a)"); }
  std::filesystem::current_path(before);
  EXPECT_TRUE(file_exists(folder.file(":memory:")));
}

TEST(Database, ReadsOnlyWhereToldTo) {
  const testing::TemporaryFolder folder;
  Database database(folder.file("a.db"), kCreate, 1s);
  database.execute("CREATE TABLE t(a INTEGER); INSERT INTO t VALUES(5)");
  EXPECT_TRUE(database.prepare_reading("SELECT a FROM t").step());
  EXPECT_TRUE(database.prepare_reading("PRAGMA table_info(t)").step());
  EXPECT_TRUE(database.prepare_reading("PRAGMA user_version").step());
  EXPECT_TRUE(database
                  .prepare_reading("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n "
                                   "WHERE i<3) SELECT max(i) FROM n")
                  .step());
  const std::string copy = folder.file("copy.db");
  for (const std::string& sql :
       {std::string("INSERT INTO t VALUES(1)"), std::string("DELETE FROM t"),
        std::string("DROP TABLE t"), std::string("BEGIN"), std::string("PRAGMA user_version=9"),
        std::string("CREATE TEMP TABLE u(a)"), "ATTACH '" + copy + "' AS c",
        "VACUUM INTO '" + copy + "'"}) {
    EXPECT_EQ(error_of<ConfigError>([&] {
                Statement statement = database.prepare_reading(sql);
                statement.step();
              }),
              "sql = '" + sql + "': only reading is allowed here: SELECT, or a PRAGMA that asks");
  }
  EXPECT_FALSE(file_exists(copy));
  database.execute("INSERT INTO t VALUES(6)");  // our own statements still write
  EXPECT_EQ(database.integer("SELECT count(*) FROM t"), 2);
}

TEST(Transaction, IsUndoneWithoutCommit) {
  const testing::TemporaryFolder folder;
  Database database(folder.file("a.db"), kCreate, 1s);
  database.execute("CREATE TABLE t(a INTEGER)");
  {
    const Transaction transaction(database);
    database.execute("INSERT INTO t VALUES(1)");
  }
  EXPECT_EQ(database.integer("SELECT count(*) FROM t"), 0);
  {
    Transaction transaction(database);
    database.execute("INSERT INTO t VALUES(1)");
    transaction.commit();
  }
  EXPECT_EQ(database.integer("SELECT count(*) FROM t"), 1);
}

TEST(Database, SaysThatTheDiskIsFullAndKeepsNothingOfTheBatch) {
  const testing::TemporaryFolder folder;
  const std::string path = folder.file("a.db");
  Database database(path, kCreate, 1s);
  database.execute("CREATE TABLE t(a TEXT); INSERT INTO t VALUES('first')");
  database.execute("PRAGMA max_page_count=20");
  const auto write_too_much = [&] {
    Transaction transaction(database);
    Statement insert = database.prepare("INSERT INTO t VALUES(?)");
    for (int i = 0; i < 100; ++i) insert.bind_all(std::string(4000, 'x')).run();
    transaction.commit();
  };
  EXPECT_EQ(error_of<DataError>(write_too_much),
            path +
                ": expected room for what is written, found that the disk is full; nothing of "
                "this batch was kept");
  EXPECT_EQ(database.integer("SELECT count(*) FROM t"), 1);
  database.execute("PRAGMA max_page_count=2000");
  write_too_much();
  EXPECT_EQ(database.integer("SELECT count(*) FROM t"), 101);
}

TEST(Database, NamesTheWaitForAnotherWriter) {
  const testing::TemporaryFolder folder;
  const std::string path = folder.file("a.db");
  Database first(path, kCreate, 1s);
  Database second(path, kCreate, 50ms);
  first.execute("CREATE TABLE t(a INTEGER)");
  const Transaction held(first);
  EXPECT_EQ(error_of<DataError>([&] { const Transaction transaction(second); }),
            path +
                ": expected to be let in within 0.05 s, found another process writing to it "
                "(database is locked)");
}

TEST(Database, BlamesUsForABrokenConstraint) {
  const testing::TemporaryFolder folder;
  Database database(folder.file("a.db"), kCreate, 1s);
  database.execute("CREATE TABLE t(a INTEGER PRIMARY KEY)");
  Statement insert = database.prepare("INSERT INTO t VALUES(?)");
  insert.bind_all(std::int64_t{1}).run();
  EXPECT_CONTAINS(error_of<InternalError>([&] { insert.bind_all(std::int64_t{1}).run(); }),
                  "UNIQUE constraint failed: t.a");
  insert.bind_all(std::int64_t{2}).run();  // the statement is usable afterwards
}

TEST(Database, NamesADamagedFile) {
  const testing::TemporaryFolder folder;
  const std::string path = folder.file("a.db");
  {
    Database database(path, kCreate, 1s);
    database.execute("CREATE TABLE t(a TEXT)");
    Statement insert = database.prepare("INSERT INTO t VALUES(?)");
    for (int i = 0; i < 100; ++i) insert.bind_all(std::string(4000, 'x')).run();
  }
  std::string bytes(MappedFile::open(path)->text());
  std::memset(bytes.data() + 4096, 0xA5, bytes.size() - 4096);
  write_file_atomically(path, bytes);
  Database damaged(path, Database::Mode::kReadOnly, 1s);
  EXPECT_EQ(error_of<DataError>([&] { damaged.integer("SELECT count(a) FROM t"); }),
            path + ": expected a sound SQLite file, found database disk image is malformed");
}

TEST(Database, RefusesAMissingFileUnlessToldToMakeIt) {
  const testing::TemporaryFolder folder;
  const std::string path = folder.file("none.db");
  EXPECT_EQ(error_of<DataError>([&] { Database(path, Database::Mode::kReadWrite, 1s); }),
            path + ": expected a file that SQLite can open, found unable to open database file");
  EXPECT_FALSE(file_exists(path));
}

}  // namespace
}  // namespace dlm
