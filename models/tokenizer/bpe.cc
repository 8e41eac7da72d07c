// Byte-pair encoding with a heap: the pair of lowest rank, then leftmost, is merged first. n log n
// in the length of a piece, so that one word of 50 MB ends.
#include <algorithm>
#include <array>
#include <cstdint>
#include <functional>
#include <limits>

#include "harness/base/error.h"
#include "harness/base/text.h"
#include "models/tokenizer/token_model.h"

namespace dlm {
namespace {

struct Merge {
  std::uint32_t rank;
  TokenId result;
};

// (left, right) -> Merge, open addressing in one block.
class MergeTable {
 public:
  explicit MergeTable(std::size_t count) {
    std::size_t capacity = 16;
    while (capacity < 2 * count) capacity *= 2;
    slots_.assign(capacity, {kFree, {}});
  }

  // A pair given twice keeps its last rank, as upstream.
  void set(TokenId left, TokenId right, Merge merge) {
    Slot& slot = slots_[find_slot(key_of(left, right))];
    slot = {key_of(left, right), merge};
  }

  const Merge* find(TokenId left, TokenId right) const {
    const Slot& slot = slots_[find_slot(key_of(left, right))];
    return slot.key == kFree ? nullptr : &slot.merge;
  }

 private:
  static constexpr std::uint64_t kFree = ~std::uint64_t{0};

  struct Slot {
    std::uint64_t key;
    Merge merge;
  };

  static std::uint64_t key_of(TokenId left, TokenId right) {
    return (static_cast<std::uint64_t>(static_cast<std::uint32_t>(left)) << 32U) |
           static_cast<std::uint32_t>(right);
  }

  std::size_t find_slot(std::uint64_t key) const {
    const std::size_t mask = slots_.size() - 1;
    std::size_t slot = ((key * 0x9E3779B97F4A7C15ULL) >> 20U) & mask;
    while (slots_[slot].key != key && slots_[slot].key != kFree) slot = (slot + 1) & mask;
    return slot;
  }

  std::vector<Slot> slots_;
};

// A doubly linked list of tokens in one vector; a merged-away symbol has id -1.
struct Symbol {
  TokenId id;
  std::int32_t previous;
  std::int32_t next;
};

class Bpe : public TokenModel {
 public:
  Bpe(Vocabulary vocabulary, const Merges& merges, BpeOptions options);

  void tokenize(std::string_view piece, std::vector<TokenId>& out) const override;

  const Vocabulary& vocabulary() const override { return vocabulary_; }

 private:
  // Ids before any merge.
  class Initial;

  std::optional<TokenId> id_of_character(char32_t c, std::string_view bytes) const;
  void merge_all(std::vector<Symbol>& symbols) const;

  Vocabulary vocabulary_;
  BpeOptions options_;
  MergeTable merges_;
  std::vector<TokenId> low_ids_;  // of characters below kLow, -1 = none
  std::optional<TokenId> unk_;
  std::array<TokenId, 256> byte_ids_{};  // of <0x00> ... <0xFF>, -1 = none

  static constexpr char32_t kLow = 0x800;
};

Bpe::Bpe(Vocabulary vocabulary, const Merges& merges, BpeOptions options)
    : vocabulary_(std::move(vocabulary)), options_(std::move(options)), merges_(merges.size()) {
  const std::size_t prefix = options_.continuing_subword_prefix.size();
  std::string joined;
  for (std::size_t rank = 0; rank < merges.size(); ++rank) {
    const auto& [left, right] = merges[rank];
    if (right.size() < prefix) {
      throw DataError(vocabulary_.source(), -1,
                      fmt::format("the prefix '{}'", options_.continuing_subword_prefix),
                      fmt::format("merge {}: '{} {}'", rank, left, right));
    }
    const TokenId left_id = vocabulary_.at(left);
    const TokenId right_id = vocabulary_.at(right);
    joined.assign(left).append(right, prefix);
    merges_.set(left_id, right_id, {static_cast<std::uint32_t>(rank), vocabulary_.at(joined)});
  }
  if (!options_.unk_token.empty())
    unk_ = vocabulary_.find(options_.unk_token);
  low_ids_.resize(kLow, -1);
  for (char32_t c = 0; c < kLow; ++c) {
    std::string character;
    append_utf8(character, c);
    low_ids_[c] = vocabulary_.find(character).value_or(-1);
  }
  for (std::size_t b = 0; b < byte_ids_.size(); ++b)
    byte_ids_[b] = vocabulary_.find(fmt::format("<0x{:02X}>", b)).value_or(-1);
}

// Walks the characters of a piece; what the vocabulary lacks becomes bytes, the unknown token or
// nothing, in the order upstream gives them (an unknown token waits for the next known character).
class Bpe::Initial {
 public:
  Initial(const Bpe& bpe, std::string_view piece, std::vector<Symbol>& symbols)
      : bpe_(bpe), piece_(piece), symbols_(symbols) {}

  void run() {
    for (std::size_t at = 0; at < piece_.size();) {
      const CodePoint c = decode_utf8(piece_, at);
      add_character(c.value, piece_.substr(at, c.bytes), at);
      at += c.bytes;
    }
    flush_unknown();
  }

 private:
  void add_character(char32_t c, std::string_view bytes, std::size_t at) {
    const BpeOptions& options = bpe_.options_;
    const bool first = at == 0;
    const bool last = at + bytes.size() == piece_.size();
    if ((!first && !options.continuing_subword_prefix.empty()) ||
        (last && !options.end_of_word_suffix.empty())) {
      decorated_.clear();
      if (!first)
        decorated_ += options.continuing_subword_prefix;
      decorated_ += bytes;
      if (last)
        decorated_ += options.end_of_word_suffix;
      add(bpe_.vocabulary_.find(decorated_), decorated_);
    } else {
      add(bpe_.id_of_character(c, bytes), bytes);
    }
  }

  void add(std::optional<TokenId> id, std::string_view bytes) {
    if (id) {
      flush_unknown();
      push(*id);
    } else if (!bpe_.options_.byte_fallback || !add_bytes(bytes)) {
      add_unknown(bytes);
    }
  }

  bool add_bytes(std::string_view bytes) {
    const auto id = [&](char c) { return bpe_.byte_ids_[static_cast<unsigned char>(c)]; };
    for (const char c : bytes) {
      if (id(c) < 0)
        return false;
    }
    for (const char c : bytes) push(id(c));
    return true;
  }

  void add_unknown(std::string_view bytes) {
    const BpeOptions& options = bpe_.options_;
    if (options.unk_token.empty())
      return;
    if (!bpe_.unk_) {
      throw DataError(bpe_.vocabulary_.source(), -1,
                      fmt::format("the unknown token '{}' in the vocabulary", options.unk_token),
                      fmt::format("text with '{}' and neither", bytes));
    }
    if (!options.fuse_unk)
      flush_unknown();
    unknown_waits_ = true;
  }

  void flush_unknown() {
    if (unknown_waits_)
      push(*bpe_.unk_);
    unknown_waits_ = false;
  }

  void push(TokenId id) {
    const auto at = static_cast<std::int32_t>(symbols_.size());
    symbols_.push_back({id, at - 1, at + 1});
  }

  const Bpe& bpe_;
  std::string_view piece_;
  std::vector<Symbol>& symbols_;
  std::string decorated_;
  bool unknown_waits_ = false;
};

std::optional<TokenId> Bpe::id_of_character(char32_t c, std::string_view bytes) const {
  if (c >= kLow)
    return vocabulary_.find(bytes);
  const TokenId id = low_ids_[c];
  return id < 0 ? std::nullopt : std::optional(id);
}

void Bpe::merge_all(std::vector<Symbol>& symbols) const {
  // (rank, position) in one number: the smallest is the next merge.
  std::vector<std::uint64_t> heap;
  const auto count = static_cast<std::int32_t>(symbols.size());
  const auto at = [&](std::int32_t i) -> Symbol& { return symbols[static_cast<std::size_t>(i)]; };
  const auto pair_at = [&](std::int32_t i) -> const Merge* {
    return at(i).next >= count ? nullptr : merges_.find(at(i).id, at(at(i).next).id);
  };
  const auto entry = [](const Merge& merge, std::int32_t i) {
    return (static_cast<std::uint64_t>(merge.rank) << 32U) | static_cast<std::uint32_t>(i);
  };
  for (std::int32_t i = 0; i + 1 < count; ++i) {
    if (const Merge* merge = pair_at(i))
      heap.push_back(entry(*merge, i));
  }
  std::make_heap(heap.begin(), heap.end(), std::greater<>());
  const auto push_pair = [&](std::int32_t i) {
    if (const Merge* merge = pair_at(i)) {
      heap.push_back(entry(*merge, i));
      std::push_heap(heap.begin(), heap.end(), std::greater<>());
    }
  };
  while (!heap.empty()) {
    const std::uint64_t top = heap.front();
    std::pop_heap(heap.begin(), heap.end(), std::greater<>());
    heap.pop_back();
    const auto left = static_cast<std::int32_t>(top & UINT32_MAX);
    // An entry is stale once either symbol has been merged with something else.
    const Merge* merge = at(left).id < 0 ? nullptr : pair_at(left);
    if (merge == nullptr || entry(*merge, left) != top)
      continue;
    Symbol& removed = at(at(left).next);
    at(left).id = merge->result;
    at(left).next = removed.next;
    removed.id = -1;
    if (at(left).next < count)
      at(at(left).next).previous = left;
    if (at(left).previous >= 0)
      push_pair(at(left).previous);
    push_pair(left);
  }
}

void Bpe::tokenize(std::string_view piece, std::vector<TokenId>& out) const {
  if (options_.ignore_merges) {
    if (const auto whole = vocabulary_.find(piece)) {
      out.push_back(*whole);
      return;
    }
  }
  if (piece.size() >= static_cast<std::size_t>(std::numeric_limits<std::int32_t>::max()))
    throw DataError("text", -1, "pieces below 2 GiB", fmt::format("{} bytes", piece.size()));
  std::vector<Symbol> symbols;
  symbols.reserve(piece.size());
  Initial(*this, piece, symbols).run();
  merge_all(symbols);
  for (const Symbol& symbol : symbols) {
    if (symbol.id >= 0)
      out.push_back(symbol.id);
  }
}

}  // namespace

std::unique_ptr<TokenModel> make_bpe(Vocabulary vocabulary, const Merges& merges,
                                     BpeOptions options) {
  return std::make_unique<Bpe>(std::move(vocabulary), merges, std::move(options));
}

}  // namespace dlm
