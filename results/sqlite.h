// SQLite behind three small types: Database, Statement, Transaction. Errors are DataError naming
// the file; a broken constraint is a bug of ours and so an InternalError. None of it is
// thread-safe: one thread at a time uses a Database and its statements.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

struct sqlite3;
struct sqlite3_stmt;

namespace dlm {

class Statement;

class Database {
 public:
  enum class Mode {
    kReadWrite,  // the file must exist
    kCreate,     // made where it does not exist
    kReadOnly,
    kImmutable,  // read-only in a folder that cannot be written to, and nobody else writes the file
  };

  // Throws DataError where SQLite cannot open the file in that mode. A lock held by another process
  // is waited for `busy_timeout` long, here and in everything below.
  Database(std::string path, Mode mode, std::chrono::milliseconds busy_timeout);
  Database(const Database&) = delete;
  Database& operator=(const Database&) = delete;
  ~Database();

  // Runs every statement of `sql`; rows are dropped.
  void execute(const std::string& sql);

  // One statement. Throws ConfigError on `sql` where the text is not exactly one.
  Statement prepare(std::string_view sql);

  // The same for a statement of the user: anything but SELECT and PRAGMAs that ask is a
  // ConfigError.
  Statement prepare_reading(std::string_view sql);

  // First column of the first row. Throws DataError where there is no row.
  std::int64_t integer(std::string_view sql);
  std::string text(std::string_view sql);

  const std::string& path() const { return path_; }

 private:
  friend class Statement;
  [[noreturn]] void fail(int code) const;

  struct Close {
    void operator()(sqlite3* handle) const;
  };

  std::string path_;
  std::chrono::milliseconds busy_timeout_;
  std::unique_ptr<sqlite3, Close> handle_;
};

// For columns where nothing is NULL and not an empty text.
inline std::optional<std::string> absent_if_empty(const std::string& text) {
  return text.empty() ? std::nullopt : std::optional(text);
}

enum class ColumnType { kNull, kInteger, kReal, kText, kBlob };

// A prepared statement. Parameters count from 1, columns from 0. Bound text is copied. It may not
// outlive its database.
class Statement {
 public:
  void bind(int index, std::int64_t value);
  void bind(int index, double value);
  void bind(int index, std::string_view value);

  void bind(int index, const std::string& value) { bind(index, std::string_view(value)); }

  void bind(int index, const char* value) { bind(index, std::string_view(value)); }

  void bind(int index, bool) = delete;  // would become an integer unseen
  void bind_null(int index);
  void bind_blob(int index, std::string_view bytes);

  template <class T>
  void bind(int index, const std::optional<T>& value) {
    if (value.has_value()) {
      bind(index, *value);
    } else {
      bind_null(index);
    }
  }

  // Binds all parameters in order.
  template <class... Values>
  Statement& bind_all(const Values&... values) {
    int index = 0;
    (bind(++index, values), ...);
    return *this;
  }

  // True while there is a row to read.
  bool step();
  // Runs to the end and resets, so that new values can be bound.
  void run();
  void reset();

  int column_count() const;
  std::string column_name(int column) const;
  ColumnType type(int column) const;
  std::int64_t integer(int column) const;
  double real(int column) const;
  std::string text(int column) const;  // also the bytes of a blob; "" for NULL
  std::optional<std::int64_t> optional_integer(int column) const;
  std::optional<double> optional_real(int column) const;

 private:
  friend class Database;

  struct Finalize {
    void operator()(sqlite3_stmt* handle) const;
  };

  Statement(const Database& database, sqlite3_stmt* handle);
  void check(int code) const;

  const Database* database_;
  std::unique_ptr<sqlite3_stmt, Finalize> handle_;
};

// BEGIN IMMEDIATE ... COMMIT; rolled back where commit() was not reached.
class Transaction {
 public:
  explicit Transaction(Database& database);
  Transaction(const Transaction&) = delete;
  Transaction& operator=(const Transaction&) = delete;
  ~Transaction();
  void commit();

 private:
  Database& database_;
  bool open_ = true;
};

}  // namespace dlm
