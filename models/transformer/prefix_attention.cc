#include "models/transformer/prefix_attention.h"

#include <algorithm>
#include <utility>

#include <ATen/ops/empty.h>

#include <omp.h>

#include "harness/base/error.h"
#include "models/transformer/row_kernels.h"

namespace dlm {
namespace {

constexpr std::int64_t kPackRows = 256;  // keys of a packing task, a multiple of the tile

HeadRows head_rows(const at::Tensor& x) {
  if (!x.defined())
    return {};
  DLM_CHECK(x.dim() == 3 && (x.stride(2) == 1 || x.size(2) == 1),
            "heads are (rows, heads, head_dim) with last stride 1");
  return {x.const_data_ptr<float>(), x.stride(0), x.stride(1)};
}

void grow(at::Tensor& scratch, std::int64_t floats) {
  if (!scratch.defined() || scratch.numel() < floats)
    scratch = at::empty({floats}, at::kFloat);
}

}  // namespace

// Keys that are packed once for all strips: the shared ones, and long runs of own ones.
struct PackSource {
  HeadRows k, v;
  std::int64_t rows = 0;
  std::int64_t offset = 0;  // of head 0 in the scratch, in floats
  PackedSize size;

  std::int64_t per_head() const { return size.keys + size.values; }
};

namespace {

HeadRows from_row(HeadRows rows, std::int64_t first) {
  rows.data += first * rows.row_stride;
  return rows;
}

PackedHead packed_head(const PackSource& source, const float* scratch, std::int64_t head) {
  const float* keys = scratch + source.offset + head * source.per_head();
  return {keys, keys + source.size.keys, source.rows};
}

// A range of one source's keys, of one head.
struct PackItem {
  const PackSource* source = nullptr;
  std::int64_t head = 0;
  std::int64_t begin = 0;
};

void pack_all(const std::vector<PackSource>& sources, std::int64_t heads, std::int64_t head_dim,
              float* scratch) {
  std::vector<PackItem> items;
  for (const PackSource& source : sources) {
    for (std::int64_t head = 0; head < heads; ++head) {
      for (std::int64_t begin = 0; begin < source.rows; begin += kPackRows)
        items.push_back({&source, head, begin});
    }
  }
#pragma omp parallel for schedule(dynamic, 1)
  for (std::size_t i = 0; i < items.size(); ++i) {
    const PackSource& source = *items[i].source;
    float* keys = scratch + source.offset + items[i].head * source.per_head();
    pack_head({source.k, source.v, items[i].head, head_dim, items[i].begin,
               std::min(items[i].begin + kPackRows, source.rows), keys, keys + source.size.keys});
  }
}

}  // namespace

bool prefix_attention_works(at::Device device, at::ScalarType dtype) {
  return device.is_cpu() && dtype == at::kFloat && vector_kernels_work();
}

PrefixAttention::PrefixAttention(PrefixRows rows) : rows_(std::move(rows)) {
  const auto total = std::ssize(rows_.visible);
  const std::int64_t size = rows_.own_size;
  DLM_CHECK(size == 0 || total % size == 0, "{} rows in blocks of {}", total, size);
  // Strips hold whole blocks, or lie within one.
  const std::int64_t most = size == 0 || long_blocks() ? kStripRows : kStripRows / size * size;
  for (std::int64_t row = 0; row < total; row += strips_.back().rows) {
    const std::int64_t end = long_blocks() ? row / size * size + size : total;
    strips_.push_back({row, std::min(most, end - row)});
  }
  for (const std::int32_t visible : rows_.visible)
    shared_rows_ = std::max<std::int64_t>(shared_rows_, visible);
}

std::vector<PackSource> PrefixAttention::sources(const PrefixTensors& in) const {
  const std::int64_t kv_heads = (in.shared_k.defined() ? in.shared_k : in.own_k).size(1);
  std::vector<PackSource> out = {
      {head_rows(in.shared_k), head_rows(in.shared_v), shared_rows_, 0, {}}};
  for (std::int64_t row = 0; long_blocks() && row < std::ssize(rows_.visible);
       row += rows_.own_size) {
    out.push_back({from_row(head_rows(in.own_k), row),
                   from_row(head_rows(in.own_v), row),
                   rows_.own_size,
                   0,
                   {}});
  }
  std::int64_t floats = 0;
  for (PackSource& source : out) {
    source.size = packed_size(source.rows, in.q.size(2));
    source.offset = floats;
    floats += kv_heads * source.per_head();
  }
  return out;
}

void PrefixAttention::attend(const PrefixTensors& in, double scale, PrefixScratch& scratch,
                             const at::Tensor& out) const {
  const std::int64_t heads = in.q.size(1);
  const std::int64_t dim = in.q.size(2);
  const std::int64_t kv_heads = (in.shared_k.defined() ? in.shared_k : in.own_k).size(1);
  DLM_CHECK(in.q.size(0) == std::ssize(rows_.visible), "{} queries for {} rows", in.q.size(0),
            rows_.visible.size());
  DLM_CHECK(shared_rows_ == 0 || in.shared_k.size(0) >= shared_rows_, "{} shared keys, {} are seen",
            in.shared_k.size(0), shared_rows_);
  const std::vector<PackSource> sources = this->sources(in);
  grow(scratch.packed, sources.back().offset + kv_heads * sources.back().per_head());
  grow(scratch.strips, omp_get_max_threads() * strip_scratch(dim));
  auto* packed = scratch.packed.mutable_data_ptr<float>();
  auto* strips = scratch.strips.mutable_data_ptr<float>();
  pack_all(sources, kv_heads, dim, packed);
  StripTask common;
  common.q = head_rows(in.q);
  common.own_k = head_rows(in.own_k);
  common.own_v = head_rows(in.own_v);
  common.head_dim = dim;
  common.scale = static_cast<float>(scale);
  common.own_size = rows_.own_size;
  common.out = out.mutable_data_ptr<float>();
  common.out_stride = out.stride(0);
  const auto per_head = std::ssize(strips_);
#pragma omp parallel for schedule(dynamic, 1)
  for (std::int64_t i = 0; i < heads * per_head; ++i) {
    const Strip& strip = strips_[static_cast<std::size_t>(i % per_head)];
    StripTask task = common;
    task.head = i / per_head;
    task.kv_head = task.head / (heads / kv_heads);
    task.row = strip.row;
    task.rows = strip.rows;
    task.visible = rows_.visible.data() + strip.row;
    task.shared = packed_head(sources.front(), packed, task.kv_head);
    if (long_blocks()) {
      const auto block = static_cast<std::size_t>(strip.row / rows_.own_size);
      task.block = packed_head(sources[1 + block], packed, task.kv_head);
    }
    task.scratch = strips + omp_get_thread_num() * strip_scratch(dim);
    attend_strip(task);
  }
}

}  // namespace dlm
