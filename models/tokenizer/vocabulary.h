// Tokens and their ids, both ways. All text lies in one block, so that loading 150,000 tokens costs
// milliseconds.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace dlm {

using TokenId = std::int32_t;

// No published vocabulary is near it; a larger id in a file is taken for damage.
constexpr std::int64_t kMaxTokenId = (std::int64_t{1} << 24U) - 1;

std::uint64_t hash_bytes(std::string_view bytes);

class Vocabulary {
 public:
  // `source` is the file named in errors.
  explicit Vocabulary(std::string source) : source_(std::move(source)) {}

  // Throws DataError for an id outside [0, kMaxTokenId], a token or an id that is there already.
  // Ids may have holes.
  void add(std::string_view token, std::int64_t id);

  std::optional<TokenId> find(std::string_view token) const;

  // The id, or DataError "expected token 'x' in the vocabulary".
  TokenId at(std::string_view token) const;

  // The text of an id; nothing for a hole or an id out of range.
  std::optional<std::string_view> token(std::int64_t id) const;

  std::int64_t id_limit() const { return static_cast<std::int64_t>(entries_.size()); }

  std::size_t size() const { return size_; }

  const std::string& source() const { return source_; }

 private:
  struct Entry {
    std::uint32_t offset = 0;
    std::uint32_t length = kHole;
  };

  static constexpr std::uint32_t kHole = UINT32_MAX;

  std::size_t slot_of(std::string_view token) const;
  void grow();

  std::string source_;
  std::string text_;
  std::vector<Entry> entries_;  // by id
  std::vector<TokenId> slots_;  // open addressing, -1 = free
  std::size_t size_ = 0;
};

}  // namespace dlm
