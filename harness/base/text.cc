#include "harness/base/text.h"

#include <charconv>
#include <cmath>
#include <cstring>

#include "harness/base/error.h"

namespace dlm {
namespace {

struct LeadByte {
  std::size_t length;        // of the whole sequence
  unsigned char low = 0x80;  // range of the second byte
  unsigned char high = 0xBF;
};

std::optional<LeadByte> classify_lead(unsigned char lead) {
  if (lead >= 0xC2 && lead <= 0xDF)
    return LeadByte{2};
  if (lead == 0xE0)
    return LeadByte{3, 0xA0, 0xBF};
  if (lead == 0xED)
    return LeadByte{3, 0x80, 0x9F};
  if (lead >= 0xE1 && lead <= 0xEF)
    return LeadByte{3};
  if (lead == 0xF0)
    return LeadByte{4, 0x90, 0xBF};
  if (lead >= 0xF1 && lead <= 0xF3)
    return LeadByte{4};
  if (lead == 0xF4)
    return LeadByte{4, 0x80, 0x8F};
  return std::nullopt;
}

template <class Number>
std::optional<Number> parse_whole(std::string_view text) {
  Number value{};
  const auto [end, status] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (status != std::errc() || end != text.data() + text.size())
    return std::nullopt;
  return value;
}

}  // namespace

CodePoint decode_utf8(std::string_view text, std::size_t offset) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[offset + i]); };
  const unsigned char lead = byte(0);
  if (lead < 0x80)
    return {lead, 1, true};
  const auto shape = classify_lead(lead);
  if (!shape)
    return {};
  char32_t value = lead & (0x7FU >> shape->length);
  for (std::size_t i = 1; i < shape->length; ++i) {
    const unsigned char low = i == 1 ? shape->low : 0x80;
    const unsigned char high = i == 1 ? shape->high : 0xBF;
    if (offset + i >= text.size() || byte(i) < low || byte(i) > high)
      return {0xFFFD, i, false};
    value = (value << 6U) | (byte(i) & 0x3FU);
  }
  return {value, shape->length, true};
}

void append_utf8(std::string& out, char32_t c) {
  const auto put = [&](char32_t byte) { out.push_back(static_cast<char>(byte)); };
  if (c < 0x80) {
    put(c);
  } else if (c < 0x800) {
    put(0xC0U | (c >> 6U));
    put(0x80U | (c & 0x3FU));
  } else if (c < 0x10000) {
    put(0xE0U | (c >> 12U));
    put(0x80U | ((c >> 6U) & 0x3FU));
    put(0x80U | (c & 0x3FU));
  } else {
    put(0xF0U | (c >> 18U));
    put(0x80U | ((c >> 12U) & 0x3FU));
    put(0x80U | ((c >> 6U) & 0x3FU));
    put(0x80U | (c & 0x3FU));
  }
}

std::optional<std::size_t> find_invalid_utf8(std::string_view text) {
  std::size_t i = 0;
  while (i < text.size()) {
    while (i + 8 <= text.size()) {
      std::uint64_t word = 0;
      std::memcpy(&word, text.data() + i, 8);
      if ((word & 0x8080808080808080ULL) != 0)
        break;
      i += 8;
    }
    if (i >= text.size())
      break;
    const CodePoint c = decode_utf8(text, i);
    if (!c.valid)
      return i;
    i += c.bytes;
  }
  return std::nullopt;
}

std::string replace_invalid_utf8(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (std::size_t i = 0; i < text.size();) {
    const CodePoint c = decode_utf8(text, i);
    if (c.valid) {
      out.append(text.substr(i, c.bytes));
    } else {
      out.append("\xEF\xBF\xBD");
    }
    i += c.bytes;
  }
  return out;
}

bool is_unicode_space(char32_t c) {
  return (c >= 0x09 && c <= 0x0D) || (c >= 0x1C && c <= 0x20) || c == 0x85 || c == 0xA0 ||
         c == 0x1680 || (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 || c == 0x202F ||
         c == 0x205F || c == 0x3000;
}

std::int64_t count_words(std::string_view text) {
  std::int64_t words = 0;
  bool inside = false;
  for (std::size_t i = 0; i < text.size();) {
    const CodePoint c = decode_utf8(text, i);
    const bool space = c.valid && is_unicode_space(c.value);
    if (!space && !inside)
      ++words;
    inside = !space;
    i += c.bytes;
  }
  return words;
}

std::vector<std::string> split(std::string_view text, char separator) {
  std::vector<std::string> parts;
  while (true) {
    const auto at = text.find(separator);
    parts.emplace_back(text.substr(0, at));
    if (at == std::string_view::npos)
      return parts;
    text.remove_prefix(at + 1);
  }
}

std::string_view strip_ascii_space(std::string_view text) {
  constexpr std::string_view kSpace = " \t\n\r\f\v";
  const auto first = text.find_first_not_of(kSpace);
  if (first == std::string_view::npos)
    return {};
  return text.substr(first, text.find_last_not_of(kSpace) - first + 1);
}

std::optional<std::int64_t> parse_int(std::string_view text) {
  return parse_whole<std::int64_t>(text);
}

std::optional<std::uint64_t> parse_uint(std::string_view text) {
  return parse_whole<std::uint64_t>(text);
}

std::optional<double> parse_double(std::string_view text) {
  const auto value = parse_whole<double>(text);
  return value && std::isfinite(*value) ? value : std::nullopt;
}

std::string replaced(std::string_view text, std::string_view from, std::string_view to) {
  DLM_CHECK(!from.empty(), "an empty text is everywhere");
  std::string result;
  std::size_t at = 0;
  for (std::size_t hit = text.find(from); hit != std::string_view::npos;
       hit = text.find(from, at)) {
    result.append(text, at, hit - at).append(to);
    at = hit + from.size();
  }
  return result.append(text.substr(at));
}

}  // namespace dlm
