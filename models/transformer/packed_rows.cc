#include "models/transformer/packed_rows.h"

#include <algorithm>
#include <string>

#include <ATen/ops/empty.h>

#include "harness/base/error.h"

namespace dlm {
namespace {

void check_id(std::int64_t id, std::int64_t row, std::int64_t position, std::int64_t vocab_size) {
  if (id < 0 || id >= vocab_size) {
    throw ConfigError(fmt::format("token id at row {}, position {}", row, position),
                      std::to_string(id), fmt::format("0 to {}", vocab_size - 1));
  }
}

}  // namespace

bool PackedRows::uniform() const {
  return static_cast<std::int64_t>(rows.size()) == batch &&
         std::all_of(rows.begin(), rows.end(), [this](const PackedRow& row) {
           return row.length == rows[0].length && row.start == rows[0].start &&
                  row.behind == rows[0].behind;
         });
}

PackedRows pack_rows(const at::Tensor& ids, std::span<const std::int64_t> lengths,
                     std::span<const std::int64_t> starts, std::int64_t vocab_size) {
  DLM_CHECK(ids.dim() == 2 && ids.scalar_type() == at::kLong, "ids are (B, L) int64");
  DLM_CHECK(static_cast<std::int64_t>(lengths.size()) == ids.size(0), "{} lengths for {} rows",
            lengths.size(), ids.size(0));
  DLM_CHECK(starts.empty() || starts.size() == lengths.size(), "{} starts for {} rows",
            starts.size(), lengths.size());
  const at::Tensor host = ids.cpu().contiguous();
  const std::int64_t width = host.size(1);
  std::vector<std::int64_t> tokens;
  std::vector<std::int64_t> positions;
  PackedRows packed;
  packed.batch = host.size(0);
  for (std::int64_t b = 0; b < packed.batch; ++b) {
    const std::int64_t length = lengths[static_cast<std::size_t>(b)];
    const std::int64_t start = starts.empty() ? 0 : starts[static_cast<std::size_t>(b)];
    if (length < 0 || length > width) {
      throw ConfigError(fmt::format("length of row {}", b), std::to_string(length),
                        fmt::format("0 to {}", width));
    }
    if (length == 0)
      continue;
    packed.rows.push_back({b, packed.tokens, length, start});
    packed.tokens += length;
    packed.longest = std::max(packed.longest, start + length);
    const std::int64_t* row = host.const_data_ptr<std::int64_t>() + b * width;
    for (std::int64_t i = 0; i < length; ++i) {
      check_id(row[i], b, i, vocab_size);
      tokens.push_back(row[i]);
      positions.push_back(start + i);
    }
  }
  packed.ids = index_tensor(tokens, at::kCPU);
  packed.positions = index_tensor(positions, at::kCPU);
  return packed;
}

void see_both_ways(PackedRows& rows, std::span<const std::int64_t> behind) {
  rows.visibility = Visibility::kBidirectional;
  if (behind.empty())
    return;
  rows.longest = 0;
  for (PackedRow& row : rows.rows) {
    row.behind = behind[static_cast<std::size_t>(row.row)];
    rows.longest = std::max(rows.longest, row.keys());
  }
}

std::vector<std::int64_t> last_tokens(const PackedRows& rows) {
  std::vector<std::int64_t> last;
  for (const PackedRow& row : rows.rows) last.push_back(row.offset + row.length - 1);
  return last;
}

at::Tensor index_tensor(std::span<const std::int64_t> values, at::Device device) {
  const auto count = static_cast<std::int64_t>(values.size());
  at::Tensor tensor = at::empty({count}, at::kLong);
  std::copy(values.begin(), values.end(), tensor.mutable_data_ptr<std::int64_t>());
  return tensor.to(device);
}

}  // namespace dlm
