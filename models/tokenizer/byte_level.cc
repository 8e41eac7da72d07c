#include "models/tokenizer/byte_level.h"

#include <array>

#include "harness/base/text.h"

namespace dlm {
namespace {

constexpr char32_t kCharacters = 256 + 68;  // 68 bytes are moved to U+0100 and on

struct Alphabet {
  std::array<std::string, 256> character_of;
  std::array<int, kCharacters> byte_of{};

  Alphabet() {
    byte_of.fill(-1);
    char32_t moved = 256;
    for (unsigned b = 0; b < 256; ++b) {
      const bool printable =
          (b >= '!' && b <= '~') || (b >= 0xA1 && b <= 0xAC) || (b >= 0xAE && b <= 0xFF);
      const char32_t c = printable ? b : moved++;
      append_utf8(character_of[b], c);
      byte_of[c] = static_cast<int>(b);
    }
  }
};

const Alphabet& alphabet() {
  static const Alphabet kAlphabet;
  return kAlphabet;
}

}  // namespace

void append_byte_level(std::string& out, std::string_view bytes) {
  const auto& character_of = alphabet().character_of;
  for (const char b : bytes) {
    if (b >= '!' && b <= '~') {
      out.push_back(b);
    } else {
      out.append(character_of[static_cast<unsigned char>(b)]);
    }
  }
}

void append_from_byte_level(std::string& out, std::string_view token) {
  const auto& byte_of = alphabet().byte_of;
  const std::size_t start = out.size();
  for (std::size_t at = 0; at < token.size();) {
    const CodePoint c = decode_utf8(token, at);
    if (c.value >= kCharacters || byte_of[c.value] < 0) {
      out.resize(start);
      out.append(token);
      return;
    }
    out.push_back(static_cast<char>(byte_of[c.value]));
    at += c.bytes;
  }
}

}  // namespace dlm
