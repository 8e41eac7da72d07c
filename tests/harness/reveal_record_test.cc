// Bytes of tokens: they add up to the text, whatever the tokenizer does between neighbours.
#include "harness/reveal_record.h"

#include <numeric>

#include <gtest/gtest.h>

#include "harness/base/error.h"
#include "harness/base/text.h"

namespace dlm {
namespace {

using Bytes = std::vector<std::int64_t>;

// Ids are bytes; text that is not UTF-8 becomes U+FFFD, and a space at the very beginning of what
// is decoded is dropped, as some published decoders do.
class ByteTokenizer final : public Tokenizer {
 public:
  TokenIds encode(std::string_view text, SpecialTokens) const override {
    TokenIds ids;
    for (const char byte : text) ids.push_back(static_cast<unsigned char>(byte));
    return ids;
  }

  TokenIds with_special(TokenIds ids) const override { return ids; }

  std::string decode(std::span<const std::int64_t> ids, const DecodeOptions&) const override {
    decoded_ += ids.size();
    std::string text;
    for (const std::int64_t id : ids) text += static_cast<char>(id);
    if (text.starts_with(' '))
      text.erase(0, 1);
    return replace_invalid_utf8(text);
  }

  std::int64_t id_limit() const override { return 256; }

  std::optional<std::int64_t> token_id(std::string_view) const override { return {}; }

  std::optional<std::int64_t> bos_id() const override { return {}; }

  std::optional<std::int64_t> eos_id() const override { return {}; }

  bool adds_bos() const override { return false; }

  const std::string& sha256() const override { return sha256_; }

  std::size_t decoded() const { return decoded_; }

 private:
  std::string sha256_;
  mutable std::size_t decoded_ = 0;
};

Bytes bytes_of(const ByteTokenizer& tokenizer, std::string_view prompt, std::string_view text) {
  return token_bytes(&tokenizer, tokenizer.encode(prompt, SpecialTokens::kAsText),
                     tokenizer.encode(text, SpecialTokens::kAsText), text);
}

TEST(TokenBytes, AreOneEachOfAsciiBehindAPrompt) {
  const ByteTokenizer tokenizer;
  EXPECT_EQ(bytes_of(tokenizer, "ab", " cd"), (Bytes{1, 1, 1}));
  EXPECT_TRUE(bytes_of(tokenizer, "ab", "").empty());
}

TEST(TokenBytes, ACharacterIsItsLastTokens) {
  const ByteTokenizer tokenizer;
  EXPECT_EQ(bytes_of(tokenizer, "", "a\u00E9b\u20ACc"), (Bytes{1, 0, 2, 1, 0, 0, 3, 1}));
  EXPECT_EQ(bytes_of(tokenizer, "\u00E9", "\u00E9"), (Bytes{0, 2}));
}

TEST(TokenBytes, AddUpForLongTextsInLinearTime) {
  const ByteTokenizer tokenizer;
  std::string text;
  for (int i = 0; i < 5000; ++i) text += i % 7 == 0 ? "\u00E9" : i % 3 == 0 ? " " : "x";
  const Bytes bytes = bytes_of(tokenizer, "prompt", text);
  EXPECT_EQ(bytes.size(), text.size());
  EXPECT_EQ(std::accumulate(bytes.begin(), bytes.end(), std::int64_t{0}), std::ssize(text));
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    const auto byte = static_cast<unsigned char>(text[i]);
    EXPECT_EQ(bytes[i], byte < 0x80 ? 1 : byte >= 0xC0 ? 0 : 2) << i;
  }
  EXPECT_LT(tokenizer.decoded(), 60 * text.size());
}

TEST(TokenBytes, TextThatTheTokensDoNotSpellIsTheLastOnes) {
  const ByteTokenizer tokenizer;
  const Bytes ids = {97, 98, 99};
  EXPECT_EQ(token_bytes(&tokenizer, {}, ids, "other"), (Bytes{0, 0, 5}));
  EXPECT_EQ(token_bytes(&tokenizer, {}, ids, "a"), (Bytes{1, 0, 0}));
}

TEST(TokenBytes, WithoutATokenizerAreTheIds) {
  const Bytes ids = {7, 123, 0};
  EXPECT_EQ(token_bytes(nullptr, {}, ids, "7 123 0"), (Bytes{1, 4, 2}));
}

TEST(RevealRecord, PutsBytesAndPassesTogether) {
  const Bytes bytes = {3, 0}, passes = {2, 1, 5};
  EXPECT_EQ(reveal_record(bytes, passes), (std::vector<RevealedToken>{{3, 2}, {0, 1}}));
  EXPECT_THROW(reveal_record(passes, bytes), InternalError);
}

}  // namespace
}  // namespace dlm
