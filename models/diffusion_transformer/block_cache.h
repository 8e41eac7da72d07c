// Keys and values of the finished blocks of many texts, for decoding: held once, rotated once, in
// memory taken once. Memory does not grow with the text: where a row's window has moved to the end
// of its memory it goes back to the front, which happens once in as many positions as a row has to
// spare.
#pragma once

#include <cstdint>
#include <vector>

#include <ATen/core/Tensor.h>

#include "models/diffusion_transformer/dit_network.h"

namespace dlm {

// Where a row's clean positions lie: places [begin, begin + length) of its memory. A place is also
// the position its key was rotated by; only differences of positions matter to attention.
struct CacheWindow {
  std::int64_t begin = 0;
  std::int64_t length = 0;

  std::int64_t end() const { return begin + length; }

  bool operator==(const CacheWindow&) const = default;
};

class BlockCache {
 public:
  // `places` per row.
  BlockCache(const Dit& dit, std::int64_t rows, std::int64_t places);

  const CacheWindow& window(std::int64_t row) const;

  void clear(std::int64_t row);

  // Makes room for `count` places behind the row's window.
  void reserve(std::int64_t row, std::int64_t count);

  // The row's window after `count` positions have been stored and all but the last `most` dropped.
  CacheWindow grown(std::int64_t row, std::int64_t count, std::int64_t most) const;

  void set_window(std::int64_t row, const CacheWindow& window);

  // (rows, H, places, head_dim) of a layer; what lies outside windows is not defined, but finite.
  const at::Tensor& keys(std::int64_t layer) const;
  const at::Tensor& values(std::int64_t layer) const;

 private:
  void move_to_front(std::int64_t row);

  const Dit& dit_;
  std::int64_t places_;
  std::vector<at::Tensor> keys_, values_;
  std::vector<CacheWindow> windows_;
};

}  // namespace dlm
