// `pre_tokenizer` of a tokenizer.json: cuts text into the pieces that the model encodes one by one.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json_fwd.hpp>

namespace dlm {

// A text and the pieces of it that are left, from left to right; none is empty.
struct PreTokenized {
  struct Piece {
    std::size_t begin;
    std::size_t end;
  };

  std::string text;
  std::vector<Piece> pieces;
  bool at_start = false;  // the text begins where the whole input begins

  // The first piece begins where the whole input does.
  bool starts_input() const { return at_start && !pieces.empty() && pieces.front().begin == 0; }

  std::string_view view(const Piece& piece) const {
    return std::string_view(text).substr(piece.begin, piece.end - piece.begin);
  }
};

class PreTokenizer {
 public:
  virtual ~PreTokenizer() = default;

  // Splits every piece further. Safe from many threads. Throws DataError for a search beyond the
  // limits of the regular expression engine.
  virtual void apply(PreTokenized& text) const = 0;
};

// ByteLevel, Split, Digits, Whitespace, WhitespaceSplit, Metaspace, BertPreTokenizer, Punctuation,
// CharDelimiterSplit, Sequence; null gives nullptr. Throws DataError that names any other. Source:
// tokenizers 0.21, pre_tokenizers/*.rs and tokenizer/{normalizer,pattern}.rs.
std::unique_ptr<PreTokenizer> make_pre_tokenizer(const nlohmann::json& spec,
                                                 std::string_view where);

}  // namespace dlm
