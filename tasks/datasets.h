// The data sets known by name: where each lies below the data folder, how it is read, and what it
// is. One table; a new set is one row.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "tasks/corpus.h"

namespace dlm {

struct NamedDataset {
  std::string name;
  std::string path;    // below the data folder
  std::string sha256;  // of the file
  CorpusFormat format;
  std::string detokenizer;  // applied unless the user names another
  std::string about;        // what one document is, and what to know before comparing
  std::string licence;
  std::string source;  // repository@commit:path of the file
};

std::span<const NamedDataset> named_datasets();

// Throws ConfigError with the nearest known name.
const NamedDataset& find_dataset(std::string_view name);

// The path of the set's file below `data_root`, its content checked against the SHA-256. Throws
// DataError: absent (says to set DLMBENCH_DATA), or another content (both sums).
std::string locate_dataset(const NamedDataset& dataset, const std::string& data_root);

}  // namespace dlm
