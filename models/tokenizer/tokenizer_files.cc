#include "models/tokenizer/tokenizer_files.h"

#include <nlohmann/json.hpp>

#include "harness/base/json.h"

namespace dlm {

std::shared_ptr<const MappedFile> TokenizerFiles::open(const std::string& name) {
  auto file = MappedFile::open(path(name));
  hashes_[name] = sha256_hex(file->bytes());
  return file;
}

Json TokenizerFiles::read_json(const std::string& name) {
  return parse_json(open(name)->text(), path(name));
}

Json TokenizerFiles::read_json_if_any(const std::string& name) {
  return has(name) ? read_json(name) : Json();
}

std::string TokenizerFiles::sha256() const {
  std::string lines;
  for (const auto& [name, hash] : hashes_) lines += name + " " + hash + "\n";
  return sha256_hex(lines);
}

}  // namespace dlm
