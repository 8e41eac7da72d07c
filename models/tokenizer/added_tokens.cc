#include "models/tokenizer/added_tokens.h"

#include <algorithm>
#include <utility>

#include "harness/base/error.h"
#include "harness/base/regex.h"
#include "harness/base/text.h"
#include "models/tokenizer/oniguruma.h"
#include "models/tokenizer/unicode.h"

namespace dlm {
namespace {

// Offset where the last character of a text begins; the text is not empty.
std::size_t last_character(std::string_view text) {
  std::size_t at = text.size() - 1;
  while (at > 0 && (static_cast<unsigned char>(text[at]) & 0xC0U) == 0x80U) --at;
  return at;
}

bool is_word(std::string_view character) {
  static const Regex kWord(fmt::format("^[{}]$", rust_word_class()));
  return kWord.find(character).has_value();
}

bool ends_with_word(std::string_view text) {
  return !text.empty() && is_word(text.substr(last_character(text)));
}

bool starts_with_word(std::string_view text) {
  return !text.empty() && is_word(text.substr(0, decode_utf8(text, 0).bytes));
}

std::size_t skip_space_left(std::string_view text, std::size_t from, std::size_t floor) {
  while (from > floor) {
    const std::size_t before = last_character(text.substr(0, from));
    if (before < floor || !is_white_space(decode_utf8(text, before).value))
      break;
    from = before;
  }
  return from;
}

std::size_t skip_space_right(std::string_view text, std::size_t from) {
  while (from < text.size()) {
    const CodePoint c = decode_utf8(text, from);
    if (!is_white_space(c.value))
      break;
    from += c.bytes;
  }
  return from;
}

}  // namespace

std::int32_t StringMatcher::child_of(std::int32_t node, char byte) const {
  std::int32_t child = nodes_[static_cast<std::size_t>(node)].child;
  while (child >= 0 && nodes_[static_cast<std::size_t>(child)].byte != byte)
    child = nodes_[static_cast<std::size_t>(child)].sibling;
  return child;
}

void StringMatcher::add(std::string_view pattern, std::size_t index) {
  std::int32_t& root = root_[static_cast<unsigned char>(pattern[0])];
  if (root < 0) {
    root = static_cast<std::int32_t>(nodes_.size());
    nodes_.push_back({pattern[0]});
  }
  std::int32_t node = root;
  for (const char byte : pattern.substr(1)) {
    std::int32_t child = child_of(node, byte);
    if (child < 0) {
      child = static_cast<std::int32_t>(nodes_.size());
      Node fresh{byte};
      fresh.sibling = std::exchange(nodes_[static_cast<std::size_t>(node)].child, child);
      nodes_.push_back(fresh);
    }
    node = child;
  }
  if (nodes_[static_cast<std::size_t>(node)].pattern < 0)
    nodes_[static_cast<std::size_t>(node)].pattern = static_cast<std::int64_t>(index);
}

std::optional<StringMatcher::Match> StringMatcher::find(std::string_view text,
                                                        std::size_t from) const {
  if (nodes_.empty())
    return std::nullopt;
  for (std::size_t begin = from; begin < text.size(); ++begin) {
    std::int32_t node = root_[static_cast<unsigned char>(text[begin])];
    std::optional<Match> longest;
    for (std::size_t at = begin + 1; node >= 0; ++at) {
      const std::int64_t pattern = nodes_[static_cast<std::size_t>(node)].pattern;
      if (pattern >= 0)
        longest = Match{begin, at, static_cast<std::size_t>(pattern)};
      node = at < text.size() ? child_of(node, text[at]) : -1;
    }
    if (longest)
      return longest;
  }
  return std::nullopt;
}

void AddedTokens::add(const AddedToken& token) {
  const auto [it, fresh] = by_content_.try_emplace(token.content, tokens_.size());
  if (fresh) {
    by_id_[token.id] = tokens_.size();
    tokens_.push_back(token);
    return;
  }
  AddedToken& present = tokens_[it->second];
  const bool special = present.special || token.special;
  present = token;
  present.special = special;
}

void AddedTokens::finish(const Normalizer* normalizer, std::string_view where) {
  // Special tokens come first, so that they win where two patterns are equal.
  for (const bool special : {true, false}) {
    for (std::size_t i = 0; i < tokens_.size(); ++i) {
      const AddedToken& token = tokens_[i];
      if (token.special != special)
        continue;
      std::string pattern = token.content;
      if (token.normalized && normalizer != nullptr)
        normalizer->apply(pattern);
      if (pattern.empty()) {
        throw DataError(where, -1, "added tokens that normalisation does not empty",
                        fmt::format("'{}'", token.content));
      }
      (token.normalized ? normalized_ : raw_).add(pattern, i);
      has_normalized_ = has_normalized_ || token.normalized;
    }
  }
}

std::vector<AddedTokens::Section> AddedTokens::split(const StringMatcher& matcher,
                                                     std::string_view text) const {
  std::vector<Section> sections;
  std::size_t done = 0;
  std::size_t from = 0;
  while (const auto match = matcher.find(text, from)) {
    from = match->end;
    const AddedToken& token = tokens_[match->pattern];
    std::size_t begin = match->begin;
    std::size_t end = match->end;
    if (token.single_word &&
        (ends_with_word(text.substr(0, begin)) || starts_with_word(text.substr(end)))) {
      continue;
    }
    if (token.lstrip)
      begin = std::max(skip_space_left(text, begin, std::min(done, begin)), done);
    if (token.rstrip)
      end = skip_space_right(text, end);
    if (done < begin)
      sections.push_back({done, begin, std::nullopt});
    // Nothing is left where the token before has taken this one as white space.
    if (begin < end)
      sections.push_back({begin, end, token.id});
    done = end;
  }
  if (done != text.size())
    sections.push_back({done, text.size(), std::nullopt});
  return sections;
}

const AddedToken* AddedTokens::find(std::int64_t id) const {
  const auto it = by_id_.find(id);
  return it == by_id_.end() ? nullptr : &tokens_[it->second];
}

const AddedToken* AddedTokens::find(std::string_view content) const {
  const auto it = by_content_.find(content);
  return it == by_content_.end() ? nullptr : &tokens_[it->second];
}

bool AddedTokens::is_special(std::string_view content) const {
  const AddedToken* token = find(content);
  return token != nullptr && token->special;
}

std::int64_t AddedTokens::id_limit() const {
  std::int64_t limit = 0;
  for (const AddedToken& token : tokens_) limit = std::max(limit, token.id + 1);
  return limit;
}

}  // namespace dlm
