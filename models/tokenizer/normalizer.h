// `normalizer` of a tokenizer.json: rewrites text before it is split.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include <nlohmann/json_fwd.hpp>

namespace dlm {

class Normalizer {
 public:
  virtual ~Normalizer() = default;

  // `text` is valid UTF-8 before and after. Safe from many threads.
  virtual void apply(std::string& text) const = 0;
};

// NFC, NFD, NFKC, NFKD, Lowercase, Strip, StripAccents, Prepend, Replace, BertNormalizer,
// ByteLevel, Sequence; null gives nullptr. Throws DataError that names any other. Source:
// tokenizers 0.21, normalizers/*.rs.
std::unique_ptr<Normalizer> make_normalizer(const nlohmann::json& spec, std::string_view where);

}  // namespace dlm
