#include "models/tokenizer/piece_cache.h"

#include <algorithm>
#include <cstring>

namespace dlm {

bool PieceCache::find(std::string_view piece, std::uint64_t hash, std::vector<TokenId>& out) const {
  if (piece.size() > kMaxBytes)
    return false;
  const Slot& slot = slots_[hash & (kSlots - 1)];
  if (slot.bytes != piece.size() || std::memcmp(slot.text.data(), piece.data(), piece.size()) != 0)
    return false;
  for (std::size_t i = 0; i < slot.ids; ++i) out.push_back(slot.values[i]);
  return true;
}

void PieceCache::insert(std::string_view piece, std::uint64_t hash, const TokenId* ids,
                        std::size_t count) {
  if (piece.size() > kMaxBytes || count > kMaxIds)
    return;
  Slot& slot = slots_[hash & (kSlots - 1)];
  std::copy(piece.begin(), piece.end(), slot.text.begin());
  std::copy_n(ids, count, slot.values.begin());
  slot.bytes = static_cast<std::uint8_t>(piece.size());
  slot.ids = static_cast<std::uint8_t>(count);
}

std::unique_ptr<PieceCache> PieceCachePool::take() {
  {
    const std::lock_guard lock(mutex_);
    if (!idle_.empty()) {
      auto cache = std::move(idle_.back());
      idle_.pop_back();
      return cache;
    }
  }
  return std::make_unique<PieceCache>();
}

void PieceCachePool::give_back(std::unique_ptr<PieceCache> cache) noexcept {
  try {
    const std::lock_guard lock(mutex_);
    idle_.push_back(std::move(cache));
  } catch (...) {
    // Without room to keep it the cache is dropped; the next call makes a new one.
  }
}

}  // namespace dlm
