// Where training rows come from: L token ids by number, so that what a step sees is a function of
// the recipe and of the step's number alone. Torch-free.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "models/exact/exact_world.h"

namespace dlm {

class RowSource {
 public:
  virtual ~RowSource() = default;

  virtual std::int64_t length() const = 0;      // L
  virtual std::int64_t vocab_size() const = 0;  // ids lie below it; a mask is not counted
  virtual std::int64_t rows() const = 0;        // that differ; 0 = no end to them

  // Row `number` into `ids`, which holds L of them.
  virtual void read(std::uint64_t number, std::span<std::int64_t> ids) const = 0;

  // SHA-256 of what decides the rows: part of a training's identity.
  virtual std::string sha256() const = 0;
};

// Row n is document n of the world's corpus `seed` (ExactWorld::draw): no row is seen twice.
class WorldRows : public RowSource {
 public:
  // Throws ConfigError where the world has no documents of this length.
  WorldRows(std::unique_ptr<ExactWorld> world, std::uint64_t seed, std::int64_t length);

  std::int64_t length() const override { return length_; }

  std::int64_t vocab_size() const override { return world_->info().vocab_size; }

  std::int64_t rows() const override { return 0; }

  void read(std::uint64_t number, std::span<std::int64_t> ids) const override;
  std::string sha256() const override;

 private:
  std::unique_ptr<ExactWorld> world_;
  std::uint64_t seed_;
  std::int64_t length_;
};

// Rows at hand, in an order of their own in every epoch: numbers e N .. (e + 1) N - 1 are all N
// rows, shuffled by RandomStream(seed, Purpose::kTrainingOrder, e).
class StoredRows : public RowSource {
 public:
  // `ids` is rows x length, row-major. Throws ConfigError where it holds no whole row, or an id
  // outside [0, vocab_size).
  StoredRows(std::vector<std::int32_t> ids, std::int64_t length, std::int64_t vocab_size,
             std::uint64_t seed);

  std::int64_t length() const override { return length_; }

  std::int64_t vocab_size() const override { return vocab_size_; }

  std::int64_t rows() const override { return rows_; }

  void read(std::uint64_t number, std::span<std::int64_t> ids) const override;
  std::string sha256() const override;

 private:
  const std::vector<std::uint32_t>& order_of(std::uint64_t epoch) const;

  std::vector<std::int32_t> ids_;
  std::int64_t length_, vocab_size_, rows_;
  std::uint64_t seed_;
  mutable std::uint64_t order_epoch_ = 0;
  mutable std::vector<std::uint32_t> order_;  // of order_epoch_; empty until it is asked for
};

}  // namespace dlm
