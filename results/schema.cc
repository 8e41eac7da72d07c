#include "results/schema.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <cstring>
#include <fstream>
#include <iterator>
#include <thread>
#include <vector>

#include <sys/stat.h>

#include "harness/base/error.h"
#include "harness/base/text.h"

namespace dlm {

namespace embedded {
extern const std::string_view results_schema_sql;
extern const std::string_view results_schema_v2_sql;
extern const std::string_view results_schema_v3_sql;
extern const std::string_view results_schema_v4_sql;
extern const std::string_view results_schema_v5_sql;
}  // namespace embedded

namespace {

constexpr std::string_view kNotOurs = "a dlmbench store, or no file yet";

std::int64_t big_endian_32(std::span<const unsigned char> bytes) {
  std::int64_t value = 0;
  for (const unsigned char byte : bytes) value = value * 256 + byte;
  return value;
}

[[noreturn]] void refuse_newer(const Database& database, std::int64_t version, std::size_t known) {
  throw DataError(database.path(), -1, fmt::format("a store of version {} or older", known),
                  fmt::format("version {}, written by a newer dlmbench", version));
}

void apply_missing_steps(Database& database, std::span<const std::string_view> steps) {
  Transaction transaction(database);
  const std::int64_t application = database.integer("PRAGMA application_id");
  if (application == 0 && database.integer("SELECT count(*) FROM sqlite_master") == 0) {
    database.execute(fmt::format("PRAGMA application_id={}", kApplicationId));
  } else if (application != kApplicationId) {
    throw DataError(database.path(), -1, kNotOurs, "another program's database");
  }
  const std::int64_t version = database.integer("PRAGMA user_version");
  if (version > std::ssize(steps))
    refuse_newer(database, version, steps.size());
  for (auto i = static_cast<std::size_t>(std::max<std::int64_t>(version, 0)); i < steps.size(); ++i)
    database.execute(std::string(steps[i]));
  Statement broken = database.prepare("PRAGMA foreign_key_check");
  DLM_CHECK(!broken.step(), "{}: migration breaks a reference of table {}", database.path(),
            broken.text(0));
  broken.reset();
  database.execute(fmt::format("PRAGMA user_version={}", steps.size()));
  transaction.commit();
}

// The change to WAL wants a new file for itself for a moment and does not wait for it by itself.
std::string turn_wal_on(Database& database) {
  using Clock = std::chrono::steady_clock;
  const auto deadline = Clock::now() + std::chrono::seconds(5);
  while (true) {
    try {
      return database.text("PRAGMA journal_mode=WAL");
    } catch (const DataError&) {
      if (Clock::now() > deadline)
        throw;
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
  }
}

bool is_setting_name(std::string_view name) {
  return !name.empty() && std::all_of(name.begin(), name.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '.';
  });
}

std::string config_view_sql(std::span<const std::string> settings) {
  std::vector<std::string> last_parts;
  for (const std::string& setting : settings) {
    DLM_CHECK(is_setting_name(setting), "'{}' is not the name of a setting", setting);
    last_parts.push_back(split(setting, '.').back());
  }
  std::string sql = "CREATE VIEW v_config AS SELECT config_id";
  for (std::size_t i = 0; i < settings.size(); ++i) {
    std::string column = last_parts[i];
    if (std::count(last_parts.begin(), last_parts.end(), column) > 1) {
      column = settings[i];
      std::replace(column.begin(), column.end(), '.', '_');
    }
    sql += fmt::format(", json_extract(j,'$.\"{}\"') AS \"{}\"",
                       fmt::join(split(settings[i], '.'), "\".\""), column);
  }
  return sql + " FROM config";
}

}  // namespace

std::span<const std::string_view> schema_steps() {
  static const std::array<std::string_view, 5> steps = {
      embedded::results_schema_sql, embedded::results_schema_v2_sql,
      embedded::results_schema_v3_sql, embedded::results_schema_v4_sql,
      embedded::results_schema_v5_sql};
  return steps;
}

void check_is_store(const std::string& path) {
  struct stat status {};

  if (::stat(path.c_str(), &status) != 0)
    return;
  if (S_ISDIR(status.st_mode))
    throw DataError(path, -1, kNotOurs, "a folder");
  if (!S_ISREG(status.st_mode))
    throw DataError(path, -1, kNotOurs, "something that is not a regular file");
  if (status.st_size == 0)
    return;
  // Source: sqlite.org/fileformat.html 1.3: magic at 0, application id at 68, big-endian.
  constexpr std::string_view kMagic("SQLite format 3\0", 16);
  std::array<char, 100> header{};
  std::ifstream file(path, std::ios::binary);
  if (!file)
    throw DataError(path, -1, "a readable file", std::strerror(errno));
  file.read(header.data(), header.size());
  if (file.gcount() != std::ssize(header) ||
      !std::string_view(header.data(), 100).starts_with(kMagic))
    throw DataError(path, 0, kNotOurs, "a file that is not a SQLite database");
  std::array<unsigned char, 4> id{};
  std::memcpy(id.data(), header.data() + 68, id.size());
  if (const std::int64_t application = big_endian_32(id); application != kApplicationId) {
    throw DataError(
        path, 68, kNotOurs,
        fmt::format("another program's database (application id {:#010x})", application));
  }
}

void prepare_schema(Database& database, std::span<const std::string_view> steps) {
  const std::int64_t version = database.integer("PRAGMA user_version");
  if (version > std::ssize(steps))
    refuse_newer(database, version, steps.size());
  if (version < std::ssize(steps) || database.integer("PRAGMA application_id") != kApplicationId)
    apply_missing_steps(database, steps);
  if (const std::string mode = turn_wal_on(database); mode != "wal") {
    throw DataError(database.path(), -1, "a file system that supports SQLite's WAL mode",
                    fmt::format("journal mode '{}'", mode));
  }
  // Blob keys are random, so a batch touches pages all over the index: room for them in memory
  // (KiB), and checkpoints (pages) rare enough that a page is not copied back after every batch.
  database.execute(
      "PRAGMA synchronous=NORMAL; PRAGMA foreign_keys=ON; PRAGMA cache_size=-65536; PRAGMA "
      "wal_autocheckpoint=4000");
}

void check_schema_version(Database& database, std::span<const std::string_view> steps) {
  const std::int64_t version = database.integer("PRAGMA user_version");
  if (version > std::ssize(steps))
    refuse_newer(database, version, steps.size());
  if (version < std::ssize(steps)) {
    throw DataError(database.path(), -1, fmt::format("a store of version {}", steps.size()),
                    fmt::format("version {}; `dlmbench list --db {}` brings it up to date", version,
                                database.path()));
  }
}

void prepare_config_view(Database& database, std::span<const std::string> settings) {
  const std::string wanted = config_view_sql(settings);
  Statement found = database.prepare("SELECT sql FROM sqlite_master WHERE name='v_config'");
  const bool same = found.step() && found.text(0) == wanted;
  found.reset();
  if (same)
    return;
  Transaction transaction(database);
  database.execute("DROP VIEW IF EXISTS v_config");
  database.execute(wanted);
  transaction.commit();
}

}  // namespace dlm
