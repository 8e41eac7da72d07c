#include "models/transformer/head_store.h"

#include <cstring>

#include "harness/base/error.h"

namespace dlm {
namespace {

constexpr std::int64_t kParallelBytes = std::int64_t{1} << 20;

// One row's positions, head by head.
void copy_places(const at::Tensor& cache, const at::Tensor& from, const HeadPlaces& at) {
  const std::int64_t size = from.element_size(), bytes = from.size(2) * size;
  auto* to = static_cast<char*>(cache.mutable_data_ptr()) + at.row * cache.stride(0) * size;
  const auto* read = static_cast<const char*>(from.const_data_ptr());
  for (std::int64_t head = 0; head < from.size(1); ++head) {
    char* line = to + head * cache.stride(1) * size + at.place * bytes;
    const char* own = read + head * from.stride(1) * size;
    for (std::int64_t i = 0; i < at.count; ++i, line += bytes)
      std::memcpy(line, own + (at.offset + i) * from.stride(0) * size,
                  static_cast<std::size_t>(bytes));
  }
}

}  // namespace

void store_heads(const at::Tensor& cache, const at::Tensor& from,
                 std::span<const HeadPlaces> places) {
  DLM_CHECK(cache.dim() == 4 && from.dim() == 3 && cache.is_contiguous() && from.stride(2) == 1 &&
                cache.size(1) == from.size(1) && cache.size(3) == from.size(2) &&
                cache.scalar_type() == from.scalar_type(),
            "{} new values for a cache of {}", from.numel(), cache.numel());
  std::int64_t stored = 0;
  for (const HeadPlaces& at : places) {
    DLM_CHECK(at.row >= 0 && at.row < cache.size(0) && at.count >= 0 && at.place >= 0 &&
                  at.place + at.count <= cache.size(2) && at.offset >= 0 &&
                  at.offset + at.count <= from.size(0),
              "{} positions at place {} of row {}", at.count, at.place, at.row);
    stored += at.count;
  }
  if (!cache.is_cpu()) {
    for (const HeadPlaces& at : places)
      cache.select(0, at.row)
          .narrow(1, at.place, at.count)
          .copy_(from.narrow(0, at.offset, at.count).transpose(0, 1));
    return;
  }
  const std::int64_t bytes = stored * from.size(1) * from.size(2) * from.element_size();
#pragma omp parallel for schedule(static) if (bytes >= kParallelBytes)
  for (std::size_t i = 0; i < places.size(); ++i) copy_places(cache, from, places[i]);
}

}  // namespace dlm
