// The step that turns one piece of text into ids: BPE or WordPiece.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "models/tokenizer/vocabulary.h"

namespace dlm {

class TokenModel {
 public:
  virtual ~TokenModel() = default;

  // Appends the ids of a piece, which is not empty. Const and free of shared state: safe from many
  // threads.
  virtual void tokenize(std::string_view piece, std::vector<TokenId>& out) const = 0;

  virtual const Vocabulary& vocabulary() const = 0;
};

// Settings of `model` in tokenizer.json, without vocab and merges.
struct BpeOptions {
  std::string unk_token;  // "" = none: unknown characters are dropped
  std::string continuing_subword_prefix;
  std::string end_of_word_suffix;
  bool fuse_unk = false;
  bool byte_fallback = false;
  bool ignore_merges = false;
};

struct WordPieceOptions {
  std::string unk_token = "[UNK]";
  std::string continuing_subword_prefix = "##";
  std::size_t max_input_chars_per_word = 100;
};

// Pairs in order of rank.
using Merges = std::vector<std::pair<std::string, std::string>>;

// Byte-pair encoding. Throws DataError for a merge whose parts or result are not in the vocabulary.
// Source: tokenizers 0.21, models/bpe/{model,word}.rs.
std::unique_ptr<TokenModel> make_bpe(Vocabulary vocabulary, const Merges& merges,
                                     BpeOptions options);

// Longest match first. Throws DataError where the unknown token is not in the vocabulary. Source:
// tokenizers 0.21, models/wordpiece/mod.rs.
std::unique_ptr<TokenModel> make_wordpiece(Vocabulary vocabulary, WordPieceOptions options);

// A value inside a JSON text, and where it begins there.
struct JsonPart {
  std::string_view text;
  std::int64_t offset = 0;
};

// The long members of `model`, which stay text until the model is built (token_lists.h).
struct TokenLists {
  std::optional<JsonPart> vocab;
  std::optional<JsonPart> merges;
};

// From `model` of a tokenizer.json; `where` names the file. Throws DataError for a type that is not
// BPE or WordPiece, for dropout, and for lists that are missing or bad.
std::unique_ptr<TokenModel> make_token_model(const nlohmann::json& spec, const TokenLists& lists,
                                             const std::string& where);

}  // namespace dlm
