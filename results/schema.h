// The store's tables and how a file is brought to them. Version n of the store is what the first n
// steps make, so a new file and a migrated one are the same by construction.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "results/sqlite.h"

namespace dlm {

inline constexpr std::int64_t kApplicationId = 0x4244424D;

// Step i takes a file from version i to i + 1; append only.
std::span<const std::string_view> schema_steps();

// Refuses what is not a store of ours, by the file's own bytes and so without touching it:
// DataError for a folder, a device, a file that is not SQLite's, another program's database. A
// missing or empty file passes.
void check_is_store(const std::string& path);

// Applies the steps that `database` lacks, all or none, and turns WAL and foreign keys on. Throws
// DataError where the file was written by a newer program or its file system cannot hold a WAL.
void prepare_schema(Database& database, std::span<const std::string_view> steps);

// DataError where `database` is not exactly of the version that `steps` make.
void check_schema_version(Database& database, std::span<const std::string_view> steps);

// The view v_config: config_id and one column for each setting, a dotted path into config.j
// ("sampler.block_size"), named by its last part where that is unique and else by the path with
// underscores. Made anew where it differs.
void prepare_config_view(Database& database, std::span<const std::string> settings);

}  // namespace dlm
