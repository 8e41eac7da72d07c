// The options that every command on the store shares.
#pragma once

#include <memory>

#include "harness/cli.h"
#include "results/store.h"

namespace dlm {

// Adds --db: of commands that print no table.
void add_db_option(CommandOptions& cli);

// Adds --db and --output.
void add_store_options(CommandOptions& cli);

// Throws ConfigError where --output names no known format.
void check_output_format(const ParsedOptions& options);

std::string store_path(const ParsedOptions& options);

// For writing; made where it does not exist.
std::unique_ptr<Store> open_store(const std::string& path);
std::unique_ptr<Store> open_store(const ParsedOptions& options);

// For reading only; one that an older program wrote is brought up to date first. ConfigError or
// DataError where there is none.
std::unique_ptr<Store> open_store_read_only(const std::string& path);
std::unique_ptr<Store> open_store_read_only(const ParsedOptions& options);

}  // namespace dlm
