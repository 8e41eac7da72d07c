#include "models/transformer/kv_cache.h"

#include <string>

#include "harness/base/error.h"
#include "models/transformer/head_store.h"
#include "models/transformer/large_pages.h"

namespace dlm {
namespace {

std::vector<HeadPlaces> places_of(const PackedRows& rows) {
  std::vector<HeadPlaces> places;
  for (const PackedRow& row : rows.rows)
    places.push_back({row.row, row.start, row.offset, row.length});
  return places;
}

}  // namespace

TransformerCache::TransformerCache(const CacheShape& shape, const at::TensorOptions& options)
    : shape_(shape), lengths_(static_cast<std::size_t>(shape.batch), 0) {
  for (std::int64_t layer = 0; layer < shape.layers; ++layer) {
    for (auto* half : {&keys_, &values_}) {
      half->push_back(zeros_in_large_pages(
          {shape.batch, shape.kv_heads, shape.capacity, shape.head_dim}, options));
    }
  }
}

std::int64_t TransformerCache::length(std::int64_t row) const {
  DLM_CHECK(row >= 0 && row < shape_.batch, "row {} of {}", row, shape_.batch);
  return lengths_[static_cast<std::size_t>(row)];
}

void TransformerCache::check_room(const PackedRows& rows) const {
  for (const PackedRow& row : rows.rows) {
    if (row.keys() > shape_.capacity) {
      throw ConfigError(fmt::format("positions of row {} in the KV cache", row.row),
                        std::to_string(row.keys()),
                        fmt::format("up to its capacity, {}", shape_.capacity));
    }
  }
}

void TransformerCache::store(std::int64_t layer, const PackedRows& rows, const at::Tensor& k,
                             const at::Tensor& v) {
  const std::vector<HeadPlaces> places = places_of(rows);
  store_heads(keys(layer), k, places);
  store_heads(values(layer), v, places);
}

void TransformerCache::advance(const PackedRows& rows) {
  for (const PackedRow& row : rows.rows) lengths_[static_cast<std::size_t>(row.row)] = row.keys();
}

void TransformerCache::truncate(std::int64_t row, std::int64_t length) {
  DLM_CHECK(row >= 0 && row < shape_.batch && length >= 0 && length <= this->length(row),
            "row {} cut to {}", row, length);
  lengths_[static_cast<std::size_t>(row)] = length;
}

const at::Tensor& TransformerCache::keys(std::int64_t layer) const {
  return keys_.at(static_cast<std::size_t>(layer));
}

const at::Tensor& TransformerCache::values(std::int64_t layer) const {
  return values_.at(static_cast<std::size_t>(layer));
}

}  // namespace dlm
