#include "harness/commands/store_options.h"

#include <algorithm>
#include <chrono>
#include <filesystem>

#include "harness/base/error.h"
#include "harness/base/log.h"
#include "harness/base/spec.h"
#include "results/schema.h"
#include "results/table.h"

namespace dlm {
namespace {

bool is_older_store(const std::string& path) {
  if (!std::filesystem::is_regular_file(path))
    return false;
  check_is_store(path);
  Database database(path, Database::Mode::kReadOnly, std::chrono::seconds(30));
  const std::int64_t version = database.integer("PRAGMA user_version");
  return version > 0 && version < std::ssize(schema_steps());
}

}  // namespace

void add_db_option(CommandOptions& cli) {
  cli.value("db", "the store, an SQLite file (default results.db)");
}

void add_store_options(CommandOptions& cli) {
  add_db_option(cli);
  cli.value("output,o", fmt::format("{} (default md)", fmt::join(table_formats(), ", ")));
}

void check_output_format(const ParsedOptions& options) {
  const std::string format = options.get("output", "md");
  const auto& known = table_formats();
  if (std::find(known.begin(), known.end(), format) == known.end())
    throw unknown_name("output", format, known);
}

std::string store_path(const ParsedOptions& options) {
  return options.get("db", "results.db");
}

std::unique_ptr<Store> open_store(const std::string& path) {
  StoreOptions store_options;
  store_options.settings = run_fields().keys();
  return Store::open(path, store_options);
}

std::unique_ptr<Store> open_store(const ParsedOptions& options) {
  return open_store(store_path(options));
}

// Where an older store cannot be brought up to date, opening it says why.
std::unique_ptr<Store> open_store_read_only(const std::string& path) {
  try {
    return Store::open_read_only(path);
  } catch (const DataError&) {
    if (!is_older_store(path))
      throw;
  }
  open_store(path);
  log_info("{} was of an older version and is brought up to date", path);
  return Store::open_read_only(path);
}

std::unique_ptr<Store> open_store_read_only(const ParsedOptions& options) {
  return open_store_read_only(store_path(options));
}

}  // namespace dlm
