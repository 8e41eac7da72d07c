// Remembers the ids of short pieces: text repeats its words. Bounded, without allocation after the
// start.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string_view>
#include <vector>

#include "models/tokenizer/vocabulary.h"

namespace dlm {

// A direct-mapped table of 64-byte slots (4 MiB). One thread at a time.
class PieceCache {
 public:
  PieceCache() : slots_(kSlots) {}

  // Appends the ids of a remembered piece and returns true.
  bool find(std::string_view piece, std::uint64_t hash, std::vector<TokenId>& out) const;

  // Remembers a piece in the place of another; long pieces and long answers are not kept.
  void insert(std::string_view piece, std::uint64_t hash, const TokenId* ids, std::size_t count);

 private:
  static constexpr std::size_t kSlots = std::size_t{1} << 16U;
  static constexpr std::size_t kMaxBytes = 30;
  static constexpr std::size_t kMaxIds = 8;

  struct Slot {
    std::array<char, kMaxBytes> text{};
    std::uint8_t bytes = 0;  // 0 = free
    std::uint8_t ids = 0;
    std::array<TokenId, kMaxIds> values{};
  };

  static_assert(sizeof(Slot) == 64);

  std::vector<Slot> slots_;
};

// Lends a cache to each encode call and takes it back warm, so that there are as many as threads
// encode at once.
class PieceCachePool {
 public:
  class Loan {
   public:
    explicit Loan(PieceCachePool& pool) : pool_(pool), cache_(pool.take()) {}

    Loan(const Loan&) = delete;
    Loan& operator=(const Loan&) = delete;

    ~Loan() { pool_.give_back(std::move(cache_)); }

    PieceCache& operator*() const { return *cache_; }

   private:
    PieceCachePool& pool_;
    std::unique_ptr<PieceCache> cache_;
  };

 private:
  std::unique_ptr<PieceCache> take();
  void give_back(std::unique_ptr<PieceCache> cache) noexcept;

  std::mutex mutex_;
  std::vector<std::unique_ptr<PieceCache>> idle_;
};

}  // namespace dlm
