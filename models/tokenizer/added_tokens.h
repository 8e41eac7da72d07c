// Tokens that are found in the text before the model sees it: special ones and those added after
// training.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "models/tokenizer/normalizer.h"

namespace dlm {

struct AddedToken {
  std::string content;
  std::int64_t id = -1;
  bool single_word = false;  // not inside a word
  bool lstrip = false;       // takes the white space before it
  bool rstrip = false;       // takes the white space after it
  bool normalized = false;   // searched in the normalised text, itself normalised
  bool special = false;      // left out by skip_special
};

// Finds the leftmost, then longest, of many strings in one pass.
class StringMatcher {
 public:
  struct Match {
    std::size_t begin;
    std::size_t end;
    std::size_t pattern;
  };

  StringMatcher() { root_.fill(-1); }

  // Of equal patterns the first counts. `pattern` is not empty.
  void add(std::string_view pattern, std::size_t index);

  std::optional<Match> find(std::string_view text, std::size_t from) const;

 private:
  struct Node {
    char byte;
    std::int32_t sibling = -1;
    std::int32_t child = -1;
    std::int64_t pattern = -1;
  };

  std::int32_t child_of(std::int32_t node, char byte) const;

  std::array<std::int32_t, 256> root_{};
  std::vector<Node> nodes_;
};

class AddedTokens {
 public:
  // A stretch of text; `id` is set where it is a token. Source: tokenizers 0.21,
  // added_vocabulary.rs, find_matches.
  struct Section {
    std::size_t begin;
    std::size_t end;
    std::optional<std::int64_t> id;
  };

  // Adds a token or changes the flags of one that is there; a special one stays special.
  void add(const AddedToken& token);

  // Builds the two searches; no token is added after it. `normalizer` may be null. Throws DataError
  // where the normaliser leaves nothing of a token.
  void finish(const Normalizer* normalizer, std::string_view where);

  // Sections of text before, and after normalisation.
  std::vector<Section> split_raw(std::string_view text) const { return split(raw_, text); }

  std::vector<Section> split_normalized(std::string_view text) const {
    return split(normalized_, text);
  }

  bool has_normalized() const { return has_normalized_; }

  const AddedToken* find(std::int64_t id) const;
  const AddedToken* find(std::string_view content) const;

  bool is_special(std::string_view content) const;

  std::int64_t id_limit() const;  // one more than the largest id, 0 for none

 private:
  std::vector<Section> split(const StringMatcher& matcher, std::string_view text) const;

  std::vector<AddedToken> tokens_;
  std::unordered_map<std::int64_t, std::size_t> by_id_;
  std::map<std::string, std::size_t, std::less<>> by_content_;
  StringMatcher raw_;
  StringMatcher normalized_;
  bool has_normalized_ = false;
};

}  // namespace dlm
