// UTF-8 and small text helpers.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace dlm {

// One decoded code point and the bytes it took; `valid` is false for an ill-formed sequence, whose
// `bytes` is then the length of the maximal prefix that one U+FFFD replaces (Unicode 3.9,
// "substitution of maximal subparts").
struct CodePoint {
  char32_t value = 0xFFFD;
  std::size_t bytes = 1;
  bool valid = false;
};

// The code point at text[offset]; offset < text.size().
CodePoint decode_utf8(std::string_view text, std::size_t offset);

void append_utf8(std::string& out, char32_t code_point);

// Offset of the first ill-formed byte, or nothing where the text is valid UTF-8. Runs at memory
// speed on ASCII.
std::optional<std::size_t> find_invalid_utf8(std::string_view text);

// Every occurrence of `from` (not empty), left to right, replaced by `to`.
std::string replaced(std::string_view text, std::string_view from, std::string_view to);

// Ill-formed sequences replaced by U+FFFD, one per maximal subpart.
std::string replace_invalid_utf8(std::string_view text);

// Number of words as str.split() counts them: maximal runs without Unicode white space.
std::int64_t count_words(std::string_view text);

bool is_unicode_space(char32_t c);

std::vector<std::string> split(std::string_view text, char separator);

std::string_view strip_ascii_space(std::string_view text);

// Whole-string number parsing; nothing where the text is not exactly one number in range.
std::optional<std::int64_t> parse_int(std::string_view text);
std::optional<std::uint64_t> parse_uint(std::string_view text);
std::optional<double> parse_double(std::string_view text);

}  // namespace dlm
