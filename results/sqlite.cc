#include "results/sqlite.h"

#include <array>
#include <filesystem>
#include <utility>

#include <sqlite3.h>

#include "harness/base/error.h"

namespace dlm {
namespace {

// SQLite gives special meaning to names such as ":memory:"; an absolute path has none.
std::string absolute_path(const std::string& path) {
  return std::filesystem::absolute(path).lexically_normal().string();
}

std::string immutable_uri(const std::string& path) {
  std::string uri = "file:";
  for (const char c : path) {
    if (c == '%' || c == '?' || c == '#') {
      uri += fmt::format("%{:02X}", static_cast<unsigned char>(c));
    } else {
      uri += c;
    }
  }
  return uri + "?immutable=1";
}

int open_flags(Database::Mode mode) {
  switch (mode) {
    case Database::Mode::kReadWrite:
      return SQLITE_OPEN_READWRITE;
    case Database::Mode::kCreate:
      return SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE;
    case Database::Mode::kReadOnly:
      return SQLITE_OPEN_READONLY;
    case Database::Mode::kImmutable:
      return SQLITE_OPEN_READONLY | SQLITE_OPEN_URI;
  }
  DLM_CHECK(false, "no such mode");
  return 0;
}

int permit_reading(void* /*unused*/, int action, const char* first, const char* second,
                   const char* /*database*/, const char* /*trigger*/) {
  static constexpr std::array<std::string_view, 6> kAsking = {
      "table_info", "table_xinfo", "table_list", "index_list", "index_info", "foreign_key_list"};
  switch (action) {
    case SQLITE_SELECT:
    case SQLITE_READ:
    case SQLITE_FUNCTION:
    case SQLITE_RECURSIVE:
      return SQLITE_OK;
    case SQLITE_PRAGMA:
      if (second == nullptr)
        return SQLITE_OK;
      for (const std::string_view name : kAsking) {
        if (name == first)
          return SQLITE_OK;
      }
      return SQLITE_DENY;
    default:
      return SQLITE_DENY;
  }
}

[[noreturn]] void refuse_writing(std::string_view sql) {
  throw ConfigError("sql", sql, "only reading is allowed here: SELECT, or a PRAGMA that asks");
}

// True where only white space, semicolons and comments remain.
bool is_blank_sql(sqlite3* handle, std::string_view sql) {
  sqlite3_stmt* statement = nullptr;
  const int code =
      sqlite3_prepare_v2(handle, sql.data(), static_cast<int>(sql.size()), &statement, nullptr);
  sqlite3_finalize(statement);
  return code == SQLITE_OK && statement == nullptr;
}

}  // namespace

void Database::Close::operator()(sqlite3* handle) const {
  sqlite3_close_v2(handle);
}

Database::Database(std::string path, Mode mode, std::chrono::milliseconds busy_timeout)
    : path_(std::move(path)), busy_timeout_(busy_timeout) {
  const std::string absolute = absolute_path(path_);
  const std::string name = mode == Mode::kImmutable ? immutable_uri(absolute) : absolute;
  sqlite3* handle = nullptr;
  const int code =
      sqlite3_open_v2(name.c_str(), &handle, open_flags(mode) | SQLITE_OPEN_NOMUTEX, nullptr);
  handle_.reset(handle);
  if (code != SQLITE_OK)
    fail(code);
  sqlite3_extended_result_codes(handle, 1);
  sqlite3_busy_timeout(handle, static_cast<int>(busy_timeout.count()));
}

Database::~Database() = default;

void Database::fail(int code) const {
  const std::string message =
      handle_ == nullptr ? sqlite3_errstr(code) : sqlite3_errmsg(handle_.get());
  switch (code & 0xFF) {
    case SQLITE_FULL:
      throw DataError(path_, -1, "room for what is written",
                      "that the disk is full; nothing of this batch was kept");
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
      throw DataError(path_, -1,
                      fmt::format("to be let in within {} s",
                                  std::chrono::duration<double>(busy_timeout_).count()),
                      fmt::format("another process writing to it ({})", message));
    case SQLITE_READONLY:
      throw DataError(path_, -1, "a file and a folder that can be written to", message);
    case SQLITE_CANTOPEN:
      throw DataError(path_, -1, "a file that SQLite can open", message);
    case SQLITE_IOERR:
      throw DataError(
          path_, -1, "to read and write it",
          fmt::format("{} ({}); nothing of this batch was kept", message, sqlite3_errstr(code)));
    case SQLITE_CONSTRAINT:
    case SQLITE_MISUSE:
    case SQLITE_RANGE:
      throw InternalError(fmt::format("internal error: {}: {}", path_, message));
    case SQLITE_INTERRUPT:
    case SQLITE_NOMEM:
      throw Error(fmt::format("{}: {}", path_, message));
    default:
      throw DataError(path_, -1, "a sound SQLite file", message);
  }
}

void Database::execute(const std::string& sql) {
  const int code = sqlite3_exec(handle_.get(), sql.c_str(), nullptr, nullptr, nullptr);
  DLM_CHECK(code != SQLITE_ERROR, "{}: {}", path_, sqlite3_errmsg(handle_.get()));
  if (code != SQLITE_OK)
    fail(code);
}

Statement Database::prepare(std::string_view sql) {
  sqlite3_stmt* handle = nullptr;
  const char* rest = nullptr;
  const int code =
      sqlite3_prepare_v2(handle_.get(), sql.data(), static_cast<int>(sql.size()), &handle, &rest);
  Statement statement(*this, handle);
  if (code == SQLITE_AUTH)
    refuse_writing(sql);
  if (code == SQLITE_ERROR)
    throw ConfigError("sql", sql, sqlite3_errmsg(handle_.get()));
  if (code != SQLITE_OK)
    fail(code);
  const auto used = static_cast<std::size_t>(rest - sql.data());
  if (handle == nullptr || !is_blank_sql(handle_.get(), sql.substr(used)))
    throw ConfigError("sql", sql, "exactly one statement");
  return statement;
}

std::int64_t Database::integer(std::string_view sql) {
  Statement statement = prepare(sql);
  if (!statement.step())
    throw DataError(path_, -1, fmt::format("a row for {}", sql), "none");
  return statement.integer(0);
}

std::string Database::text(std::string_view sql) {
  Statement statement = prepare(sql);
  if (!statement.step())
    throw DataError(path_, -1, fmt::format("a row for {}", sql), "none");
  return statement.text(0);
}

Statement Database::prepare_reading(std::string_view sql) {
  sqlite3_set_authorizer(handle_.get(), permit_reading, nullptr);
  try {
    Statement statement = prepare(sql);
    if (sqlite3_stmt_readonly(statement.handle_.get()) == 0)  // VACUUM INTO asks no permission
      refuse_writing(sql);
    sqlite3_set_authorizer(handle_.get(), nullptr, nullptr);
    return statement;
  } catch (...) {
    sqlite3_set_authorizer(handle_.get(), nullptr, nullptr);
    throw;
  }
}

void Statement::Finalize::operator()(sqlite3_stmt* handle) const {
  sqlite3_finalize(handle);
}

Statement::Statement(const Database& database, sqlite3_stmt* handle)
    : database_(&database), handle_(handle) {}

void Statement::check(int code) const {
  if (code != SQLITE_OK)
    database_->fail(code);
}

void Statement::bind(int index, std::int64_t value) {
  check(sqlite3_bind_int64(handle_.get(), index, value));
}

void Statement::bind(int index, double value) {
  check(sqlite3_bind_double(handle_.get(), index, value));
}

void Statement::bind(int index, std::string_view value) {
  // An empty view may point nowhere, which SQLite would take for NULL.
  const char* data = value.empty() ? "" : value.data();
  const auto copy = reinterpret_cast<sqlite3_destructor_type>(-1);
  check(sqlite3_bind_text64(handle_.get(), index, data, value.size(), copy, SQLITE_UTF8));
}

void Statement::bind_null(int index) {
  check(sqlite3_bind_null(handle_.get(), index));
}

void Statement::bind_blob(int index, std::string_view bytes) {
  const char* data = bytes.empty() ? "" : bytes.data();
  const auto copy = reinterpret_cast<sqlite3_destructor_type>(-1);
  check(sqlite3_bind_blob64(handle_.get(), index, data, bytes.size(), copy));
}

bool Statement::step() {
  const int code = sqlite3_step(handle_.get());
  if (code == SQLITE_ROW)
    return true;
  if (code == SQLITE_DONE)
    return false;
  if (code == SQLITE_ERROR)  // such as a JSON function on what is not JSON
    throw ConfigError("sql", sqlite3_sql(handle_.get()), sqlite3_errmsg(database_->handle_.get()));
  // The message is read before the reset, which would repeat the code but lose its detail.
  try {
    database_->fail(code);
  } catch (...) {
    sqlite3_reset(handle_.get());
    throw;
  }
}

void Statement::run() {
  while (step()) {
  }
  reset();
}

void Statement::reset() {
  sqlite3_reset(handle_.get());
}

int Statement::column_count() const {
  return sqlite3_column_count(handle_.get());
}

std::string Statement::column_name(int column) const {
  const char* name = sqlite3_column_name(handle_.get(), column);
  return name == nullptr ? "" : name;
}

ColumnType Statement::type(int column) const {
  switch (sqlite3_column_type(handle_.get(), column)) {
    case SQLITE_INTEGER:
      return ColumnType::kInteger;
    case SQLITE_FLOAT:
      return ColumnType::kReal;
    case SQLITE_TEXT:
      return ColumnType::kText;
    case SQLITE_BLOB:
      return ColumnType::kBlob;
    default:
      return ColumnType::kNull;
  }
}

std::int64_t Statement::integer(int column) const {
  return sqlite3_column_int64(handle_.get(), column);
}

double Statement::real(int column) const {
  return sqlite3_column_double(handle_.get(), column);
}

std::string Statement::text(int column) const {
  const void* data = sqlite3_column_blob(handle_.get(), column);
  const int size = sqlite3_column_bytes(handle_.get(), column);
  return data == nullptr
             ? ""
             : std::string(static_cast<const char*>(data), static_cast<std::size_t>(size));
}

std::optional<std::int64_t> Statement::optional_integer(int column) const {
  if (type(column) == ColumnType::kNull)
    return std::nullopt;
  return integer(column);
}

std::optional<double> Statement::optional_real(int column) const {
  if (type(column) == ColumnType::kNull)
    return std::nullopt;
  return real(column);
}

Transaction::Transaction(Database& database) : database_(database) {
  database_.execute("BEGIN IMMEDIATE");
}

Transaction::~Transaction() {
  if (!open_)
    return;
  try {
    database_.execute("ROLLBACK");
  } catch (const Error&) {
    // After a full disk SQLite has rolled back by itself; there is nothing left to undo.
  }
}

void Transaction::commit() {
  database_.execute("COMMIT");
  open_ = false;
}

}  // namespace dlm
