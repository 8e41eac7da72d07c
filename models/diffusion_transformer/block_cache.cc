#include "models/diffusion_transformer/block_cache.h"

#include <ATen/ops/arange.h>

#include "harness/base/error.h"
#include "models/transformer/large_pages.h"

namespace dlm {

BlockCache::BlockCache(const Dit& dit, std::int64_t rows, std::int64_t places)
    : dit_(dit), places_(places), windows_(static_cast<std::size_t>(rows)) {
  const DecoderShape& shape = dit.config.shape;
  const auto options =
      at::TensorOptions(dit.decoder.compute.device).dtype(dit.decoder.compute.dtype);
  for (std::int64_t layer = 0; layer < shape.layers; ++layer) {
    for (auto* half : {&keys_, &values_})
      half->push_back(zeros_in_large_pages({rows, shape.heads, places, shape.head_dim}, options));
  }
}

const CacheWindow& BlockCache::window(std::int64_t row) const {
  DLM_CHECK(row >= 0 && row < std::ssize(windows_), "row {} of {}", row, windows_.size());
  return windows_[static_cast<std::size_t>(row)];
}

void BlockCache::set_window(std::int64_t row, const CacheWindow& window) {
  DLM_CHECK(row >= 0 && row < std::ssize(windows_), "row {} of {}", row, windows_.size());
  windows_[static_cast<std::size_t>(row)] = window;
}

void BlockCache::clear(std::int64_t row) {
  set_window(row, {});
}

void BlockCache::reserve(std::int64_t row, std::int64_t count) {
  if (window(row).end() + count > places_)
    move_to_front(row);
  DLM_CHECK(window(row).end() + count <= places_, "{} positions behind {} of {} places", count,
            window(row).end(), places_);
}

CacheWindow BlockCache::grown(std::int64_t row, std::int64_t count, std::int64_t most) const {
  CacheWindow window = this->window(row);
  window.length += count;
  if (window.length > most) {
    window.begin += window.length - most;
    window.length = most;
  }
  return window;
}

void BlockCache::move_to_front(std::int64_t row) {
  const CacheWindow from = window(row);
  if (from.begin == 0)
    return;
  const auto device = dit_.decoder.compute.device;
  RotaryRows back = dit_.decoder.rotary->rows(
      at::arange(from.begin, from.begin + 1, at::kLong).to(device), from.begin + 1);
  back.sin = back.sin.neg();
  for (std::int64_t layer = 0; layer < dit_.config.shape.layers; ++layer) {
    const at::Tensor row_keys = keys(layer).select(0, row);
    const at::Tensor row_values = values(layer).select(0, row);
    // Both are computed or copied before they are written: source and target may overlap.
    const at::Tensor turned = rotate(row_keys.narrow(1, from.begin, from.length), back);
    row_keys.narrow(1, 0, from.length).copy_(turned);
    row_values.narrow(1, 0, from.length)
        .copy_(row_values.narrow(1, from.begin, from.length).clone());
  }
  set_window(row, {0, from.length});
}

const at::Tensor& BlockCache::keys(std::int64_t layer) const {
  return keys_.at(static_cast<std::size_t>(layer));
}

const at::Tensor& BlockCache::values(std::int64_t layer) const {
  return values_.at(static_cast<std::size_t>(layer));
}

}  // namespace dlm
