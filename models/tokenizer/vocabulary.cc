#include "models/tokenizer/vocabulary.h"

#include <cstring>
#include <utility>

#include "harness/base/error.h"

namespace dlm {
namespace {

constexpr std::uint64_t kMixA = 0x9E3779B97F4A7C15ULL;
constexpr std::uint64_t kMixB = 0xD6E8FEB86659FD93ULL;

std::uint64_t mix(std::uint64_t value) {
  value ^= value >> 32U;
  value *= kMixB;
  value ^= value >> 29U;
  return value;
}

}  // namespace

std::uint64_t hash_bytes(std::string_view bytes) {
  std::uint64_t hash = bytes.size() * kMixA;
  while (bytes.size() >= 8) {
    std::uint64_t word = 0;
    std::memcpy(&word, bytes.data(), 8);
    hash = mix(hash ^ (word * kMixA));
    bytes.remove_prefix(8);
  }
  std::uint64_t tail = 0;
  if (!bytes.empty())
    std::memcpy(&tail, bytes.data(), bytes.size());
  return mix(hash ^ (tail * kMixA));
}

std::size_t Vocabulary::slot_of(std::string_view token) const {
  const std::size_t mask = slots_.size() - 1;
  std::size_t slot = hash_bytes(token) & mask;
  while (slots_[slot] >= 0) {
    const Entry& entry = entries_[static_cast<std::size_t>(slots_[slot])];
    if (std::string_view(text_).substr(entry.offset, entry.length) == token)
      break;
    slot = (slot + 1) & mask;
  }
  return slot;
}

void Vocabulary::grow() {
  const std::size_t capacity = slots_.empty() ? 1024 : slots_.size() * 2;
  const std::vector<TokenId> old = std::exchange(slots_, std::vector<TokenId>(capacity, -1));
  for (const TokenId id : old) {
    if (id >= 0)
      slots_[slot_of(*token(id))] = id;
  }
}

void Vocabulary::add(std::string_view token_text, std::int64_t id) {
  if (id < 0 || id > kMaxTokenId) {
    throw DataError(source_, -1, fmt::format("token ids from 0 to {}", kMaxTokenId),
                    fmt::format("id {} for token '{}'", id, token_text));
  }
  if (const auto taken = token(id)) {
    throw DataError(source_, -1, "each id once",
                    fmt::format("id {} for both '{}' and '{}'", id, *taken, token_text));
  }
  if (size_ * 2 >= slots_.size())
    grow();
  const std::size_t slot = slot_of(token_text);
  if (slots_[slot] >= 0) {
    throw DataError(source_, -1, "each token once",
                    fmt::format("token '{}' with ids {} and {}", token_text, slots_[slot], id));
  }
  if (text_.size() + token_text.size() >= kHole)
    throw DataError(source_, -1, "less than 4 GiB of tokens", "more");
  if (id >= id_limit())
    entries_.resize(static_cast<std::size_t>(id) + 1);
  entries_[static_cast<std::size_t>(id)] = {static_cast<std::uint32_t>(text_.size()),
                                            static_cast<std::uint32_t>(token_text.size())};
  text_.append(token_text);
  slots_[slot] = static_cast<TokenId>(id);
  ++size_;
}

std::optional<TokenId> Vocabulary::find(std::string_view token_text) const {
  if (slots_.empty())
    return std::nullopt;
  const TokenId id = slots_[slot_of(token_text)];
  return id < 0 ? std::nullopt : std::optional(id);
}

TokenId Vocabulary::at(std::string_view token_text) const {
  const auto id = find(token_text);
  if (!id) {
    throw DataError(source_, -1, fmt::format("token '{}' in the vocabulary", token_text),
                    "nothing");
  }
  return *id;
}

std::optional<std::string_view> Vocabulary::token(std::int64_t id) const {
  if (id < 0 || id >= id_limit())
    return std::nullopt;
  const Entry& entry = entries_[static_cast<std::size_t>(id)];
  if (entry.length == kHole)
    return std::nullopt;
  return std::string_view(text_).substr(entry.offset, entry.length);
}

}  // namespace dlm
