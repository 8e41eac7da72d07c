#include "harness/reveal_record.h"

#include <algorithm>

#include "harness/base/error.h"

namespace dlm {
namespace {

// Tokens that are decoded together: enough that what joins neighbours (a leading space, a character
// of several tokens) is seen.
constexpr std::size_t kContext = 8;
constexpr std::size_t kStretch = 32;

// Bytes that both begin with, whole characters of `text` alone.
std::size_t common_characters(std::string_view text, std::string_view other) {
  const auto most = std::min(text.size(), other.size());
  auto same = static_cast<std::size_t>(
      std::mismatch(text.begin(), text.begin() + static_cast<std::ptrdiff_t>(most), other.begin())
          .first -
      text.begin());
  while (same > 0 && same < text.size() && (static_cast<unsigned char>(text[same]) & 0xC0) == 0x80)
    --same;
  return same;
}

// Where each token of a text ends, in stretches: each decodes the few tokens before it once more,
// so that no prefix is decoded as a whole.
class TokenEnds {
 public:
  TokenEnds(const Tokenizer& tokenizer, std::span<const std::int64_t> prompt,
            std::span<const std::int64_t> ids, std::string_view output)
      : tokenizer_(tokenizer), output_(output), all_(prompt.begin(), prompt.end()) {
    all_.insert(all_.end(), ids.begin(), ids.end());
    anchor(prompt.size(), 0);
  }

  // The end of the token at all_[index], at least `last`.
  std::size_t end_of(std::size_t index, std::size_t last) {
    const std::string text = decode(begin_, index + 1);
    if (!text.starts_with(known_))
      return last;
    const std::string_view fresh = std::string_view(text).substr(known_.size());
    const std::size_t same = common_characters(output_.substr(known_end_), fresh);
    const std::size_t end = std::max(last, known_end_ + same);
    if (same == fresh.size() && index + 1 - first_ >= kStretch)
      anchor(index + 1, end);
    return end;
  }

 private:
  std::string decode(std::size_t from, std::size_t to) const {
    return tokenizer_.decode(std::span(all_).subspan(from, to - from));
  }

  // The stretch that begins with the token at `index`, whose text begins at `end`.
  void anchor(std::size_t index, std::size_t end) {
    first_ = index;
    begin_ = index - std::min(index, kContext);
    known_ = decode(begin_, index);
    known_end_ = end;
  }

  const Tokenizer& tokenizer_;
  std::string_view output_;
  std::vector<std::int64_t> all_;  // prompt and text
  std::size_t first_ = 0;          // of the stretch
  std::size_t begin_ = 0;          // of what is decoded with it
  std::string known_;              // text of the tokens before the stretch
  std::size_t known_end_ = 0;      // where they end in the output
};

}  // namespace

std::vector<std::int64_t> token_bytes(const Tokenizer* tokenizer,
                                      std::span<const std::int64_t> prompt,
                                      std::span<const std::int64_t> ids, std::string_view output) {
  std::vector<std::int64_t> bytes;
  if (ids.empty())
    return bytes;
  if (tokenizer == nullptr) {
    for (const std::int64_t id : ids)
      bytes.push_back(std::ssize(fmt::to_string(id)) + (bytes.empty() ? 0 : 1));
    return bytes;
  }
  // As the output itself was told from the prompt's text, see SamplingWorkload::text_of.
  std::vector<std::int64_t> whole(prompt.begin(), prompt.end());
  whole.insert(whole.end(), ids.begin(), ids.end());
  if (!tokenizer->decode(whole).starts_with(tokenizer->decode(prompt)))
    prompt = {};
  TokenEnds ends(*tokenizer, prompt, ids, output);
  std::size_t last = 0;
  for (std::size_t i = 0; i < ids.size(); ++i) {
    const bool is_last = i + 1 == ids.size();
    const std::size_t end = is_last ? output.size() : ends.end_of(prompt.size() + i, last);
    bytes.push_back(static_cast<std::int64_t>(end - last));
    last = end;
  }
  return bytes;
}

std::vector<RevealedToken> reveal_record(std::span<const std::int64_t> bytes,
                                         std::span<const std::int64_t> passes) {
  DLM_CHECK(passes.size() >= bytes.size(), "{} passes for {} tokens", passes.size(), bytes.size());
  std::vector<RevealedToken> record;
  for (std::size_t i = 0; i < bytes.size(); ++i) record.push_back({bytes[i], passes[i]});
  return record;
}

}  // namespace dlm
