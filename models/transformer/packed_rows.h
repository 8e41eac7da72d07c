// The rows of one pass laid end to end, so that padding is never computed and a row without new
// tokens costs nothing.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include <ATen/core/Tensor.h>

namespace dlm {

// Which keys a new token sees.
enum class Visibility {
  kCausal,         // those before it and its own
  kBidirectional,  // all of its row
};

struct PackedRow {
  std::int64_t row = 0;     // index in the batch
  std::int64_t offset = 0;  // of its first token among the packed ones
  std::int64_t length = 0;  // new tokens, >= 1
  std::int64_t start = 0;   // positions already in the cache
  std::int64_t behind = 0;  // kBidirectional: positions in the cache after the new ones, kept

  std::int64_t keys() const { return start + length + behind; }
};

struct PackedRows {
  std::vector<PackedRow> rows;  // in batch order
  std::int64_t batch = 0;       // rows of the batch, those without new tokens included
  std::int64_t tokens = 0;      // N
  std::int64_t longest = 0;     // most keys of a row
  Visibility visibility = Visibility::kCausal;
  at::Tensor ids;        // (N) int64
  at::Tensor positions;  // (N) int64: start, start + 1, ...

  // Every row of the batch has the same number of new tokens, the same start and as many behind.
  bool uniform() const;
};

// ids (B, L) int64, right-padded; lengths[b] of them are row b's new tokens, after starts[b] cached
// ones (no starts: none). Throws ConfigError for a length outside [0, L] and for an id outside
// [0, vocab_size).
PackedRows pack_rows(const at::Tensor& ids, std::span<const std::int64_t> lengths,
                     std::span<const std::int64_t> starts, std::int64_t vocab_size);

// Makes the rows see all of themselves; behind[b] are the cached positions after row b's new tokens
// (none given: 0).
void see_both_ways(PackedRows& rows, std::span<const std::int64_t> behind);

// Index of each row's last token among the packed ones.
std::vector<std::int64_t> last_tokens(const PackedRows& rows);

// A copy of `values` on `device`, int64.
at::Tensor index_tensor(std::span<const std::int64_t> values, at::Device device);

}  // namespace dlm
