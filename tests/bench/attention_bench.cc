// Attention of a 1024-position pass, 12 heads of 64, by the loops of prefix_attention.h and by
// libtorch's fused kernel: causal, and noisy blocks behind their clean context (libtorch: strips of
// 64 rows with a bias, keys laid out beforehand). Items are query rows; flops counts visible pairs.
// Then the blocks of a batch over its cache, twelve layers in turn as in a step of sampling; bytes
// counts the keys and values read.
#include <cstdint>
#include <limits>
#include <vector>

#include <ATen/ops/arange.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/zeros.h>
#include <c10/core/InferenceMode.h>

#include <benchmark/benchmark.h>

#include "models/transformer/attention.h"
#include "models/transformer/cached_attention.h"
#include "models/transformer/large_pages.h"
#include "models/transformer/prefix_attention.h"

namespace dlm {
namespace {

constexpr std::int64_t kLength = 1024;
constexpr std::int64_t kHeads = 12;
constexpr std::int64_t kDim = 64;
constexpr double kScale = 0.125;

at::ScalarType dtype_of(const benchmark::State& state) {
  return state.range(0) == 0 ? at::kFloat : at::kBFloat16;
}

at::Tensor random_heads(at::ScalarType dtype) {
  return at::randn({kLength, kHeads, kDim}).to(dtype);
}

void report(benchmark::State& state, double pairs) {
  state.SetItemsProcessed(state.iterations() * kLength);
  state.counters["flops"] =
      benchmark::Counter(4 * pairs * kHeads * kDim, benchmark::Counter::kIsIterationInvariantRate);
}

at::Tensor batched(const at::Tensor& x) {
  return x.unsqueeze(0).transpose(1, 2);
}

constexpr double causal_pairs() {
  return 0.5 * kLength * (kLength + 1);
}

void causal_own(benchmark::State& state) {
  const c10::InferenceMode mode;
  const at::Tensor q = random_heads(dtype_of(state)), k = random_heads(dtype_of(state)),
                   v = random_heads(dtype_of(state));
  PrefixRows rows;
  for (std::int32_t i = 0; i < kLength; ++i) rows.visible.push_back(i + 1);
  const PrefixAttention attention(rows);
  PrefixScratch scratch;
  const at::Tensor out = at::empty({kLength, kHeads * kDim}, q.options());
  for (auto unused : state) attention.attend({q, k, v, {}, {}}, kScale, scratch, out);
  report(state, causal_pairs());
}

void causal_libtorch(benchmark::State& state) {
  const c10::InferenceMode mode;
  const at::Tensor q = random_heads(dtype_of(state)), k = random_heads(dtype_of(state)),
                   v = random_heads(dtype_of(state));
  for (auto unused : state) {
    benchmark::DoNotOptimize(
        attend(batched(q), batched(k), batched(v), {AttentionMode::kCausal, {}}, kScale));
  }
  report(state, causal_pairs());
}

double noisy_pairs(std::int64_t block_size) {
  return 0.5 * static_cast<double>(kLength * (kLength + block_size));
}

void noisy_own(benchmark::State& state) {
  const c10::InferenceMode mode;
  const at::ScalarType dtype = dtype_of(state);
  const std::int64_t size = state.range(1);
  const at::Tensor q = random_heads(dtype), k = random_heads(dtype), v = random_heads(dtype),
                   own_k = random_heads(dtype), own_v = random_heads(dtype);
  PrefixRows rows;
  rows.own_size = size;
  for (std::int64_t block = kLength / size - 1; block >= 0; --block) {
    rows.visible.insert(rows.visible.end(), static_cast<std::size_t>(size),
                        static_cast<std::int32_t>(block * size));
  }
  const PrefixAttention attention(rows);
  PrefixScratch scratch;
  const at::Tensor out = at::empty({kLength, kHeads * kDim}, q.options());
  for (auto unused : state) attention.attend({q, k, v, own_k, own_v}, kScale, scratch, out);
  report(state, noisy_pairs(size));
}

void noisy_libtorch(benchmark::State& state) {
  const c10::InferenceMode mode;
  const at::ScalarType dtype = dtype_of(state);
  const std::int64_t size = state.range(1);
  constexpr std::int64_t kStrip = 64;
  const at::Tensor q = random_heads(dtype);
  const at::Tensor keys = at::randn({1, kHeads, kLength + kStrip, kDim}).to(dtype);
  const at::Tensor bias = at::zeros({1, 1, kStrip, kLength + kStrip}, at::TensorOptions(dtype));
  const at::Tensor block = at::arange(kStrip, at::kLong).floor_divide(size);
  bias.narrow(3, kLength, kStrip)
      .masked_fill_(block.unsqueeze(1).ne(block.unsqueeze(0)),
                    -std::numeric_limits<double>::infinity());
  for (auto unused : state) {
    for (std::int64_t row = 0; row < kLength; row += kStrip) {
      const std::int64_t visible = kLength - row;
      const at::Tensor seen = keys.narrow(2, 0, visible);
      benchmark::DoNotOptimize(attend(
          batched(q.narrow(0, row, kStrip)), seen, seen,
          {AttentionMode::kBias, bias.narrow(3, kLength + kStrip - visible, visible)}, kScale));
    }
  }
  report(state, noisy_pairs(size));
}

// Arguments: bf16, rows of the batch, queries of each.
void cached_own(benchmark::State& state) {
  constexpr std::int64_t kLayers = 12;
  constexpr std::int64_t kKeys = 516;
  const c10::InferenceMode mode;
  const at::ScalarType dtype = dtype_of(state);
  const std::int64_t rows = state.range(1), count = state.range(2);
  std::vector<CachedTensors> layers;
  for (std::int64_t layer = 0; layer < kLayers; ++layer) {
    CachedTensors in;
    in.q = at::randn({rows * count, kHeads, kDim}).to(dtype);
    for (auto* half : {&in.keys, &in.values}) {
      *half = zeros_in_large_pages({rows, kHeads, kKeys, kDim}, at::TensorOptions(dtype));
      half->copy_(at::randn(half->sizes()));
    }
    layers.push_back(in);
  }
  std::vector<CachedQueries> queries;
  for (std::int64_t row = 0; row < rows; ++row) {
    queries.push_back({row, 0, row * count, {}});
    queries.back().visible.assign(static_cast<std::size_t>(count), kKeys);
  }
  for (auto unused : state) {
    for (const CachedTensors& in : layers)
      benchmark::DoNotOptimize(attend_cached(in, queries, kScale));
  }
  state.SetItemsProcessed(state.iterations() * rows * count);
  state.SetBytesProcessed(state.iterations() * kLayers * rows * kHeads * kKeys * kDim * 2 *
                          layers.front().keys.element_size());
}

BENCHMARK(cached_own)
    ->ArgNames({"bf16", "rows", "queries"})
    ->ArgsProduct({{0, 1}, {1, 16}, {1, 4, 16}})
    ->UseRealTime()
    ->Unit(benchmark::kMillisecond);
BENCHMARK(causal_own)
    ->ArgNames({"bf16"})
    ->Arg(0)
    ->Arg(1)
    ->UseRealTime()
    ->Unit(benchmark::kMillisecond);
BENCHMARK(causal_libtorch)
    ->ArgNames({"bf16"})
    ->Arg(0)
    ->Arg(1)
    ->UseRealTime()
    ->Unit(benchmark::kMillisecond);
BENCHMARK(noisy_own)
    ->ArgNames({"bf16", "block"})
    ->ArgsProduct({{0, 1}, {4, 16, 1024}})
    ->UseRealTime()
    ->Unit(benchmark::kMillisecond);
BENCHMARK(noisy_libtorch)
    ->ArgNames({"bf16", "block"})
    ->ArgsProduct({{0, 1}, {4, 16}})
    ->UseRealTime()
    ->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace dlm

BENCHMARK_MAIN();
