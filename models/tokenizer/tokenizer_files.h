// The files of a tokenizer's folder, and the hash of those that were read.
#pragma once

#include <map>
#include <memory>
#include <string>

#include <nlohmann/json_fwd.hpp>

#include "harness/base/file.h"

namespace dlm {

class TokenizerFiles {
 public:
  explicit TokenizerFiles(std::string folder) : folder_(std::move(folder)) {}

  bool has(const std::string& name) const { return file_exists(path(name)); }

  std::string path(const std::string& name) const { return folder_ + "/" + name; }

  // Throws DataError where the file is missing.
  std::shared_ptr<const MappedFile> open(const std::string& name);

  // The document, or null where the file is missing.
  nlohmann::json read_json_if_any(const std::string& name);
  nlohmann::json read_json(const std::string& name);

  // SHA-256 of the lines "NAME HASH\n" of all files opened, in name order.
  std::string sha256() const;

 private:
  std::string folder_;
  std::map<std::string, std::string> hashes_;
};

}  // namespace dlm
