// `decoder` of a tokenizer.json: turns the texts of tokens into one text.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json_fwd.hpp>

namespace dlm {

class Decoder {
 public:
  virtual ~Decoder() = default;

  // Rewrites the list; in the end its members are joined without anything between them.
  virtual void apply(std::vector<std::string>& tokens) const = 0;
};

// ByteLevel, ByteFallback, Fuse, Strip, Replace, WordPiece, Metaspace, BPEDecoder, Sequence; null
// gives nullptr. Throws DataError that names any other. Source: tokenizers 0.21, decoders/*.rs.
std::unique_ptr<Decoder> make_decoder(const nlohmann::json& spec, std::string_view where);

// English clean-up of spaces before punctuation and contractions. Source: transformers 4.49,
// clean_up_tokenization.
void clean_up_spaces(std::string& text);

}  // namespace dlm
