// Character classes, case and normal forms as the published tokenizers have them: those of the
// `tokenizers` library 0.21 and its crates, not of the newest Unicode.
#pragma once

#include <string>
#include <string_view>

#include "harness/base/text.h"

namespace dlm {

bool is_white_space(char32_t c);  // char::is_whitespace of Rust: property White_Space
bool is_numeric(char32_t c);      // categories Nd, Nl, No
bool is_punctuation(char32_t c);  // ASCII punctuation and symbols, categories P*
bool is_nonspacing(char32_t c);   // category Mn
bool is_combining(char32_t c);    // categories M*

// What BertNormalizer takes out of a text: categories Cc, Cf, Co apart from tab, LF and CR.
bool is_bert_control(char32_t c);

// Appends the lower-case form; one character may become two (U+0130). No rule looks at neighbours.
void append_lower(std::string& out, char32_t c);

enum class NormalForm { kNfc, kNfd, kNfkc, kNfkd };

// The text in a normal form; `text` is valid UTF-8. Linear in the text, but for sorting each run of
// combining marks.
void normalize(std::string& text, NormalForm form);

// Calls visit(code point, its bytes) for each character of valid UTF-8.
template <class Visit>
void for_each_character(std::string_view text, Visit visit) {
  for (std::size_t at = 0; at < text.size();) {
    const auto lead = static_cast<unsigned char>(text[at]);
    const CodePoint c = lead < 0x80 ? CodePoint{lead, 1, true} : decode_utf8(text, at);
    visit(c.value, text.substr(at, c.bytes));
    at += c.bytes;
  }
}

}  // namespace dlm
