// Keys and values of the positions seen so far, of every layer, in memory taken once.
#pragma once

#include <cstdint>
#include <vector>

#include <ATen/core/Tensor.h>

#include "models/language_model.h"
#include "models/transformer/packed_rows.h"

namespace dlm {

struct CacheShape {
  std::int64_t layers = 0;
  std::int64_t batch = 0;
  std::int64_t kv_heads = 0;
  std::int64_t capacity = 0;
  std::int64_t head_dim = 0;
};

// Keys are held as attention reads them: already rotated. Rows may have different lengths; what
// lies beyond a row's length is not defined, but finite.
class TransformerCache final : public KvCache {
 public:
  // Takes 2 x layers x batch x kv_heads x capacity x head_dim elements.
  TransformerCache(const CacheShape& shape, const at::TensorOptions& options);

  std::int64_t batch() const override { return shape_.batch; }

  std::int64_t length(std::int64_t row) const override;

  std::int64_t capacity() const override { return shape_.capacity; }

  const std::vector<std::int64_t>& lengths() const { return lengths_; }

  // Throws ConfigError where a row would pass the capacity.
  void check_room(const PackedRows& rows) const;

  // Puts the new keys and values of one layer, (N, kv_heads, head_dim), after each row's cached
  // ones. Lengths grow only by advance(), when every layer has stored.
  void store(std::int64_t layer, const PackedRows& rows, const at::Tensor& k, const at::Tensor& v);

  void advance(const PackedRows& rows);

  // Forgets what the row holds from position `length` on.
  void truncate(std::int64_t row, std::int64_t length);

  const at::Tensor& keys(std::int64_t layer) const;  // (batch, kv_heads, capacity, head_dim)

  const at::Tensor& values(std::int64_t layer) const;

 private:
  CacheShape shape_;
  std::vector<at::Tensor> keys_;
  std::vector<at::Tensor> values_;
  std::vector<std::int64_t> lengths_;
};

}  // namespace dlm
