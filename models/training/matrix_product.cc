#include "models/training/matrix_product.h"

#include <algorithm>
#include <cstdlib>
#include <memory>
#include <new>

#include <omp.h>

#include "harness/base/error.h"
#include "models/training/matrix_tiles.h"
#include "models/transformer/panel_kernel.h"
#include "models/transformer/row_kernels.h"

namespace dlm {
namespace {

constexpr std::int64_t kBlockTiles = 40;    // rows of a block: 640
constexpr std::int64_t kBlockParts = 3840;  // tiles of them taken apart: 3.75 MB

constexpr std::int64_t most_inner_tiles(const MatrixProduct& product) {
  return kBlockParts / kBlockTiles / tile_parts(product);
}

// Memory of a calling thread that grows to what its largest product needs.
class Scratch {
 public:
  std::byte* at_least(std::int64_t bytes) {
    if (bytes > bytes_) {
      memory_.reset(static_cast<std::byte*>(std::aligned_alloc(
          kPage, static_cast<std::size_t>((bytes + kPage - 1) / kPage * kPage))));
      bytes_ = memory_ ? bytes : 0;
    }
    if (!memory_)
      throw std::bad_alloc();
    return memory_.get();
  }

 private:
  static constexpr std::int64_t kPage = 4096;

  struct Free {
    void operator()(void* memory) const { std::free(memory); }
  };

  std::unique_ptr<std::byte, Free> memory_;
  std::int64_t bytes_ = 0;
};

constexpr std::int64_t up_to_multiple(std::int64_t value, std::int64_t step) {
  return (value + step - 1) / step * step;
}

// Of one thread, sums first.
constexpr std::int64_t thread_bytes(std::int64_t tiles) {
  return sums_size(tiles) * 4 + kRightTiles * kTileSize * 2;
}

TileScratch thread_scratch(std::byte* memory, std::int64_t tiles, std::int64_t thread) {
  std::byte* const own = memory + thread * thread_bytes(tiles);
  return {reinterpret_cast<float*>(own),
          reinterpret_cast<std::uint16_t*>(own + sums_size(tiles) * 4)};
}

void multiply_rows(const MatrixProduct& product, const LeftBlock& block, std::byte* memory) {
  const std::int64_t pairs = up_to_multiple(product.columns, 2 * kTileOuter) / (2 * kTileOuter);
#pragma omp parallel
  {
#pragma omp for schedule(static)
    for (std::int64_t tile = 0; tile < block.tiles; ++tile) fill_left(product, block, tile);
    const std::int64_t thread = omp_get_thread_num(), threads = omp_get_num_threads();
    multiply_block(product, block, thread_scratch(memory, block.tiles, thread),
                   {pairs * thread / threads, pairs * (thread + 1) / threads});
  }
}

}  // namespace

bool matrix_product_works() {
  return vector_kernels_work() && matrix_unit_works();
}

void matrix_product(const MatrixProduct& product) {
  DLM_CHECK(matrix_product_works(), "a product on a matrix unit that is not there");
  const bool is_empty = product.rows == 0 || product.columns == 0;
  if (is_empty || (product.inner == 0 && product.adds))
    return;
  DLM_CHECK(product.inner > 0, "a product of {} x {} without inner elements", product.rows,
            product.columns);
  const std::int64_t inner_tiles = up_to_multiple(product.inner, kTileInner) / kTileInner;
  const std::int64_t row_tiles = up_to_multiple(product.rows, 2 * kTileOuter) / kTileOuter;
  const std::int64_t blocks = up_to_multiple(row_tiles, kBlockTiles) / kBlockTiles;
  const std::int64_t tiles = up_to_multiple((row_tiles + blocks - 1) / blocks, 2);
  const std::int64_t most = most_inner_tiles(product);
  thread_local Scratch scratch;
  const std::int64_t left_bytes = left_size(product, tiles, std::min(inner_tiles, most)) * 2;
  std::byte* const memory =
      scratch.at_least(left_bytes + omp_get_max_threads() * thread_bytes(tiles));
  auto* const parts = reinterpret_cast<std::uint16_t*>(memory);
  MatrixProduct part = product;
  for (std::int64_t inner = 0; inner < inner_tiles; inner += most) {
    for (std::int64_t tile = 0; tile < row_tiles; tile += tiles) {
      const InnerSpan span = {inner, std::min(inner_tiles, inner + most)};
      multiply_rows(part, {tile * kTileOuter, std::min(tiles, row_tiles - tile), span, parts},
                    memory + left_bytes);
    }
    part.adds = true;
    part.bias = nullptr;
  }
}

}  // namespace dlm
