// What the readers of a tokenizer.json's components share.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "harness/base/regex.h"

namespace dlm {

// `type` of a component, for example "ByteLevel"; DataError where there is none.
std::string component_type(const nlohmann::json& spec, std::string_view where);

// A DataError that names a component this program does not have; it is never skipped.
[[noreturn]] void refuse_component(std::string_view kind, std::string_view type,
                                   const std::vector<std::string>& known, std::string_view where);

// The member of `spec` that lists the parts of a Sequence; DataError where it is not an array.
const nlohmann::json& sequence_parts(const nlohmann::json& spec, const char* key,
                                     std::string_view where);

// `pattern` of a Split or Replace: {"String": ...} or {"Regex": ...}, the latter in Oniguruma's
// syntax.
Regex pattern_regex(const nlohmann::json& spec, std::string_view where);

// The one character of a string member.
std::string single_character(const nlohmann::json& spec, const char* key, std::string_view where);

// The matches of a regex in the order and with the empty ones that `tokenizers` sees; each begins
// where the one before ended or later.
class MatchWalker {
 public:
  explicit MatchWalker(const Regex& regex) : scanner_(regex, {}) {}

  void start(std::string_view text);
  bool next();

  std::size_t begin() const { return scanner_.begin(); }

  std::size_t end() const { return scanner_.end(); }

 private:
  RegexScanner scanner_;
  std::string_view text_;
  std::size_t at_ = 0;
  std::size_t last_end_ = 0;
};

// Every match replaced by `content`, which stands for itself.
std::string replace_matches(MatchWalker& walker, std::string_view text, std::string_view content);

}  // namespace dlm
