#include "harness/commands/store_options.h"

#include <algorithm>

#include "harness/base/error.h"
#include "harness/base/spec.h"
#include "results/table.h"

namespace dlm {

void add_store_options(CommandOptions& cli) {
  cli.value("db", "the store, an SQLite file (default results.db)")
      .value("output,o", fmt::format("{} (default md)", fmt::join(table_formats(), ", ")));
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

std::unique_ptr<Store> open_store(const ParsedOptions& options) {
  StoreOptions store_options;
  store_options.settings = run_fields().keys();
  return Store::open(store_path(options), store_options);
}

std::unique_ptr<Store> open_store_read_only(const ParsedOptions& options) {
  return Store::open_read_only(store_path(options));
}

}  // namespace dlm
