#include "models/tokenizer/component.h"

#include <nlohmann/json.hpp>

#include "harness/base/error.h"
#include "harness/base/json.h"
#include "harness/base/text.h"
#include "models/tokenizer/oniguruma.h"

namespace dlm {
namespace {

std::string escaped(std::string_view literal) {
  std::string pattern;
  for (const char c : literal) {
    const bool plain = (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
                       (static_cast<unsigned char>(c) & 0x80U) != 0;
    if (!plain)
      pattern.push_back('\\');
    pattern.push_back(c);
  }
  return pattern;
}

}  // namespace

std::string component_type(const Json& spec, std::string_view where) {
  return json_string(spec, "type", where);
}

void refuse_component(std::string_view kind, std::string_view type,
                      const std::vector<std::string>& known, std::string_view where) {
  throw DataError(where, -1, fmt::format("{} of type {}", kind, fmt::join(known, ", ")),
                  fmt::format("'{}', which is not supported", type));
}

const Json& sequence_parts(const Json& spec, const char* key, std::string_view where) {
  const auto it = spec.find(key);
  if (it == spec.end() || !it->is_array())
    throw DataError(where, -1, fmt::format("array '{}' in a Sequence", key), "none");
  return *it;
}

Regex pattern_regex(const Json& spec, std::string_view where) {
  const auto it = spec.find("pattern");
  if (it == spec.end() || !it->is_object() || it->size() != 1)
    throw DataError(where, -1, "a pattern {\"String\": ...} or {\"Regex\": ...}", "another");
  if (it->contains("String"))
    return Regex(escaped(json_string(*it, "String", where)));
  return compile_oniguruma(json_string(*it, "Regex", where));
}

std::string single_character(const Json& spec, const char* key, std::string_view where) {
  std::string text = json_string(spec, key, where);
  if (text.empty() || decode_utf8(text, 0).bytes != text.size())
    throw DataError(where, -1, fmt::format("one character in '{}'", key), "'" + text + "'");
  return text;
}

void MatchWalker::start(std::string_view text) {
  scanner_.reset(text);
  text_ = text;
  at_ = 0;
  last_end_ = std::string_view::npos;
}

bool MatchWalker::next() {
  // As onig's FindMatches: an empty match right after a match is passed over by one character.
  while (at_ <= text_.size() && scanner_.find(at_)) {
    if (scanner_.begin() != scanner_.end() || scanner_.end() != last_end_) {
      at_ = last_end_ = scanner_.end();
      return true;
    }
    at_ += at_ < text_.size() ? decode_utf8(text_, at_).bytes : 1;
  }
  at_ = text_.size() + 1;
  return false;
}

std::string replace_matches(MatchWalker& walker, std::string_view text, std::string_view content) {
  std::string out;
  out.reserve(text.size());
  std::size_t copied = 0;
  walker.start(text);
  while (walker.next()) {
    out.append(text.substr(copied, walker.begin() - copied)).append(content);
    copied = walker.end();
  }
  return out.append(text.substr(copied));
}

}  // namespace dlm
