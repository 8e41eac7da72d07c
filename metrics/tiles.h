// Work cut into tiles, each computed by one thread: the cut depends on the data alone, so results
// are the same at any number of threads even where a BLAS is not.
#pragma once

#include <cstdint>
#include <exception>

#include <ATen/Parallel.h>

namespace dlm {

// Tiles of `tile` elements that cover `length`.
constexpr std::int64_t tile_count(std::int64_t length, std::int64_t tile) {
  return (length + tile - 1) / tile;
}

// While one lives, libtorch, its BLAS and LAPACK use one thread: what they return depends on the
// number they are allowed.
class OneThread {
 public:
  OneThread() : before_(at::get_num_threads()) { at::set_num_threads(1); }

  OneThread(const OneThread&) = delete;
  OneThread& operator=(const OneThread&) = delete;

  ~OneThread() { at::set_num_threads(before_); }

 private:
  int before_;
};

// work(tile) for every tile in [0, tiles), on all threads. Matrix products inside run on one thread
// each, also where there is one tile only. What `work` throws is thrown again here, when every tile
// has ended.
template <typename Work>
void for_each_tile(std::int64_t tiles, const Work& work) {
  if (tiles == 1) {
    const OneThread one;
    work(std::int64_t{0});
    return;
  }
  std::exception_ptr failure;
#pragma omp parallel for schedule(dynamic, 1)
  for (std::int64_t tile = 0; tile < tiles; ++tile) {
    try {
      work(tile);
    } catch (...) {
#pragma omp critical(dlm_tile_failure)
      failure = std::current_exception();
    }
  }
  if (failure)
    std::rethrow_exception(failure);
}

}  // namespace dlm
