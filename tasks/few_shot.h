// The exemplars of a prompt: solved problems that come before the one asked.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "harness/base/json.h"
#include "tasks/definition.h"

namespace dlm {

class Exemplars {
 public:
  // `path` is the file of rows, empty for kNone. Throws DataError for a missing or changed file and
  // ids that are not there, ConfigError for more shots than rows.
  Exemplars(const FewShot& form, const std::string& path, std::int64_t shots,
            std::int64_t n_documents);

  // The exemplars of document `i`, in prompt order.
  std::vector<const Json*> of(std::size_t i) const;

 private:
  std::vector<Json> rows_;
  std::vector<std::vector<std::int64_t>> drawn_;  // kSampled: rows of each document
};

// Rows of a JSON lines file, gzip or plain, its SHA-256 checked where one is given. Throws
// DataError.
std::vector<Json> read_rows(const std::string& path, const std::string& sha256);

}  // namespace dlm
