#include "models/training/row_source.h"

#include <algorithm>
#include <numeric>
#include <utility>

#include "harness/base/error.h"
#include "harness/base/file.h"
#include "harness/base/random.h"

namespace dlm {

WorldRows::WorldRows(std::unique_ptr<ExactWorld> world, std::uint64_t seed, std::int64_t length)
    : world_(std::move(world)), seed_(seed), length_(length) {
  (void)world_->draw(seed_, 0, length_);  // refuses a length that the world does not have
}

void WorldRows::read(std::uint64_t number, std::span<std::int64_t> ids) const {
  const std::vector<std::int64_t> row = world_->draw(seed_, number, length_);
  DLM_CHECK(row.size() == ids.size(), "a row of {} for {} ids", row.size(), ids.size());
  std::copy(row.begin(), row.end(), ids.begin());
}

std::string WorldRows::sha256() const {
  return sha256_hex(fmt::format("{} seed {} length {}", world_->spec(), seed_, length_));
}

StoredRows::StoredRows(std::vector<std::int32_t> ids, std::int64_t length, std::int64_t vocab_size,
                       std::uint64_t seed)
    : ids_(std::move(ids)),
      length_(length),
      vocab_size_(vocab_size),
      rows_(std::ssize(ids_) / std::max<std::int64_t>(1, length)),
      seed_(seed) {
  if (rows_ == 0 || rows_ * length_ != std::ssize(ids_))
    throw ConfigError("data.source", fmt::format("{} tokens", ids_.size()),
                      fmt::format("whole rows of {}, and at least one", length_));
  for (const std::int32_t id : ids_) {
    if (id < 0 || id >= vocab_size_)
      throw ConfigError("data.source", fmt::format("token {}", id),
                        fmt::format("from 0 to {}, the vocabulary", vocab_size_ - 1));
  }
}

const std::vector<std::uint32_t>& StoredRows::order_of(std::uint64_t epoch) const {
  if (!order_.empty() && order_epoch_ == epoch)
    return order_;
  order_.resize(static_cast<std::size_t>(rows_));
  std::iota(order_.begin(), order_.end(), 0U);
  const RandomStream random(seed_, Purpose::kTrainingOrder, epoch);
  for (std::size_t i = order_.size(); i > 1; --i)
    std::swap(order_[i - 1], order_[random.below(i, i, 0)]);
  order_epoch_ = epoch;
  return order_;
}

void StoredRows::read(std::uint64_t number, std::span<std::int64_t> ids) const {
  DLM_CHECK(std::ssize(ids) == length_, "a row of {} for {} ids", length_, ids.size());
  const auto n = static_cast<std::uint64_t>(rows_);
  const std::size_t row = order_of(number / n)[number % n];
  const auto from = ids_.begin() + static_cast<std::ptrdiff_t>(row) * length_;
  std::copy(from, from + length_, ids.begin());
}

std::string StoredRows::sha256() const {
  return sha256_hex(fmt::format("{} length {} seed {}", sha256_hex(std::as_bytes(std::span(ids_))),
                                length_, seed_));
}

}  // namespace dlm
