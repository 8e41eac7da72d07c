#include "harness/base/error.h"
#include "harness/base/text.h"
#include "models/tokenizer/token_model.h"

namespace dlm {
namespace {

class WordPiece : public TokenModel {
 public:
  WordPiece(Vocabulary vocabulary, WordPieceOptions options)
      : vocabulary_(std::move(vocabulary)),
        options_(std::move(options)),
        unk_(vocabulary_.at(options_.unk_token)) {}

  void tokenize(std::string_view piece, std::vector<TokenId>& out) const override;

  const Vocabulary& vocabulary() const override { return vocabulary_; }

 private:
  bool too_long(std::string_view piece) const;

  Vocabulary vocabulary_;
  WordPieceOptions options_;
  TokenId unk_;
};

bool WordPiece::too_long(std::string_view piece) const {
  if (piece.size() <= options_.max_input_chars_per_word)
    return false;
  std::size_t characters = 0;
  for (const char c : piece) characters += (static_cast<unsigned char>(c) & 0xC0U) != 0x80U;
  return characters > options_.max_input_chars_per_word;
}

void WordPiece::tokenize(std::string_view piece, std::vector<TokenId>& out) const {
  if (too_long(piece)) {
    out.push_back(unk_);
    return;
  }
  const std::size_t first = out.size();
  std::string candidate;
  for (std::size_t start = 0; start < piece.size();) {
    candidate.assign(start == 0 ? std::string_view() : options_.continuing_subword_prefix);
    const std::size_t prefix = candidate.size();
    candidate.append(piece.substr(start));
    std::optional<TokenId> id;
    while (candidate.size() > prefix && !(id = vocabulary_.find(candidate))) {
      while ((static_cast<unsigned char>(candidate.back()) & 0xC0U) == 0x80U) candidate.pop_back();
      candidate.pop_back();
    }
    if (!id) {
      // One part without a token makes the whole word unknown.
      out.resize(first);
      out.push_back(unk_);
      return;
    }
    out.push_back(*id);
    start += candidate.size() - prefix;
  }
}

}  // namespace

std::unique_ptr<TokenModel> make_wordpiece(Vocabulary vocabulary, WordPieceOptions options) {
  return std::make_unique<WordPiece>(std::move(vocabulary), std::move(options));
}

}  // namespace dlm
