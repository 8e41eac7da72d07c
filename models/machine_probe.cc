#include "models/machine_probe.h"

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdlib>
#include <iterator>
#include <memory>
#include <new>
#include <numeric>

#include <ATen/ops/full.h>
#include <c10/core/InferenceMode.h>

#include <sys/mman.h>

#include "harness/base/error.h"
#include "models/transformer/compute.h"
#include "models/transformer/linear.h"

namespace dlm {
namespace {

constexpr int kRepeats = 5;

template <class Work>
double best_seconds(const Work& work) {
  using Clock = std::chrono::steady_clock;
  work();
  double best = 1e30;
  for (int i = 0; i < kRepeats; ++i) {
    const auto start = Clock::now();
    work();
    best = std::min(best, std::chrono::duration<double>(Clock::now() - start).count());
  }
  return best;
}

Compute compute_for(const std::string& backend, const std::string& dtype) {
  ModelOptions options;
  options.dtype = dtype;
  options.linear_backend = backend;
  return resolve_compute(options);
}

// Sum of `count` floats, a multiple of 64, while those 4 KB further on are asked for, as the loops
// over weights do: without that a core waits for memory longer than its reading takes. The last
// lines asked for lie behind the array, which is harmless.
float sum_asking_ahead(const float* values, std::int64_t count) {
  constexpr std::int64_t kAhead = 1024, kLine = 16, kSums = 4 * kLine;
  float sums[kSums] = {};
  for (std::int64_t i = 0; i < count; i += kSums) {
    for (std::int64_t line = 0; line < kSums; line += kLine)
      __builtin_prefetch(values + i + line + kAhead, 0, 2);
    for (std::int64_t lane = 0; lane < kSums; ++lane) sums[lane] += values[i + lane];
  }
  return std::accumulate(std::begin(sums), std::end(sums), 0.0F);
}

}  // namespace

double measure_linear_gflops(const std::string& backend, const std::string& dtype,
                             const LinearShape& shape) {
  const c10::InferenceMode no_autograd;
  const Compute compute = compute_for(backend, dtype);
  const at::Tensor x = at::full({shape.rows, shape.inputs}, 0.5, compute.dtype);
  const Linear layer = make_linear(at::full({shape.outputs, shape.inputs}, 0.25, compute.dtype), {},
                                   compute.backend);
  const double seconds = best_seconds([&] { (void)linear(layer, x); });
  return 2e-9 * static_cast<double>(shape.rows) * static_cast<double>(shape.inputs) *
         static_cast<double>(shape.outputs) / seconds;
}

std::string auto_backend(const std::string& dtype) {
  switch (compute_for("auto", dtype).backend) {
    case LinearBackend::kAten:
      return "aten";
    case LinearBackend::kOneDnn:
      return "onednn";
    case LinearBackend::kPanels:
      return "panels";
    case LinearBackend::kMapped:
      return "mapped";
  }
  DLM_CHECK(false, "a back end without a name");
}

double measure_read_gigabytes_per_second() {
  constexpr std::size_t kLargePage = std::size_t{2} << 20;
  constexpr std::size_t kBytes = std::size_t{512} << 20;  // more than last caches keep for one
  constexpr std::int64_t kRun = 1 << 10;                  // floats, 4 KB
  constexpr std::int64_t kRuns = kBytes / (kRun * sizeof(float));
  const std::unique_ptr<void, decltype(&std::free)> memory(std::aligned_alloc(kLargePage, kBytes),
                                                           &std::free);
  if (memory == nullptr)
    throw std::bad_alloc();
#ifdef MADV_HUGEPAGE
  // Advice: as weights are kept (transformer/panel_linear.cc), so that this is a bound for them.
  (void)madvise(memory.get(), kBytes, MADV_HUGEPAGE);
#endif
  auto* values = static_cast<float*>(memory.get());
#pragma omp parallel for schedule(static)
  for (std::int64_t run = 0; run < kRuns; ++run) std::fill_n(values + run * kRun, kRun, 1.0F);
  double sum = 0;
  const double seconds = best_seconds([&] {
    double total = 0;
#pragma omp parallel for reduction(+ : total) schedule(static)
    for (std::int64_t run = 0; run < kRuns; ++run)
      total += sum_asking_ahead(values + run * kRun, kRun);
    sum += total;
  });
  return sum > 0 ? 1e-9 * static_cast<double>(kBytes) / seconds : 0;
}

}  // namespace dlm
