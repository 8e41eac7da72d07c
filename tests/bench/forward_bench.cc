// Networks shaped as GPT-2 small and large with random weights: scoring a window and decoding with
// a cache. Items are tokens; flops is FLOP/s by the counts of the network itself.
#include <cmath>
#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include <ATen/ops/ones.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/zeros.h>

#include <benchmark/benchmark.h>

#include "models/transformer/decoder_model.h"
#include "models/transformer/inference_scope.h"

namespace dlm {
namespace {

constexpr std::int64_t kLength = 1024;

struct BenchShape {
  std::int64_t width, layers, heads;
};

constexpr BenchShape kShapes[] = {{768, 12, 12}, {1280, 36, 20}};

Linear random_linear(std::int64_t inputs, std::int64_t outputs, const Compute& compute) {
  const at::Tensor weight = at::randn({outputs, inputs}).mul_(0.02).to(compute.dtype);
  return make_linear(weight, at::zeros({outputs}, compute.dtype), compute.backend);
}

Norm unit_norm(std::int64_t width, const Compute& compute) {
  return {NormKind::kLayer, at::ones({width}, compute.dtype), at::zeros({width}, compute.dtype),
          1e-5};
}

std::unique_ptr<DecoderModel> random_gpt2(const BenchShape& bench, const ModelOptions& options) {
  const InferenceScope scope;
  const std::int64_t width = bench.width;
  Decoder decoder;
  decoder.compute = resolve_compute(options);
  decoder.shape = {50257,     width,  bench.layers, bench.heads, bench.heads, width / bench.heads,
                   4 * width, kLength};
  const Compute& compute = decoder.compute;
  decoder.token_embedding = at::randn({50257, width}).mul_(0.02).to(compute.dtype);
  decoder.position_embedding = at::randn({kLength, width}).mul_(0.02).to(compute.dtype);
  for (std::int64_t layer = 0; layer < bench.layers; ++layer) {
    DecoderBlock block;
    block.attention_norm = unit_norm(width, compute);
    block.qkv = random_linear(width, 3 * width, compute);
    block.attention_out = random_linear(width, width, compute);
    block.attention_scale = 1 / std::sqrt(static_cast<double>(decoder.shape.head_dim));
    block.mlp_norm = unit_norm(width, compute);
    block.mlp.up = random_linear(width, 4 * width, compute);
    block.mlp.down = random_linear(4 * width, width, compute);
    decoder.blocks.push_back(std::move(block));
  }
  decoder.final_norm = unit_norm(width, compute);
  decoder.head = make_linear(decoder.token_embedding, at::Tensor(), compute.backend);
  ModelInfo info;
  info.family = "gpt2";
  info.vocab_size = 50257;
  info.max_length = kLength;
  return std::make_unique<DecoderModel>(std::move(decoder), std::move(info));
}

// Arguments: shape, dtype (0 f32, 1 bf16), back end (0 auto, 1 aten).
std::unique_ptr<DecoderModel> model_of(const benchmark::State& state) {
  ModelOptions options;
  options.dtype = state.range(1) == 0 ? "f32" : "bf16";
  options.linear_backend = state.range(2) == 0 ? "auto" : "aten";
  return random_gpt2(kShapes[state.range(0)], options);
}

std::vector<std::int64_t> some_ids(std::int64_t count) {
  std::vector<std::int64_t> ids;
  for (std::int64_t i = 0; i < count; ++i) ids.push_back(i * 7919 % 50257);
  return ids;
}

void report(benchmark::State& state, const PassCounts& counts) {
  state.SetItemsProcessed(counts.positions);
  state.counters["flops"] = benchmark::Counter(counts.flops, benchmark::Counter::kIsRate);
}

void score_window(benchmark::State& state) {
  const auto model = model_of(state);
  const std::vector<ScoringWindow> windows = {{some_ids(kLength), 1}};
  model->token_nll(windows);
  const PassCounts before = model->counts();
  for (auto unused : state) benchmark::DoNotOptimize(model->token_nll(windows));
  report(state, model->counts() - before);
}

// Fourth argument: batch. Single tokens after a prompt of 128.
void decode_step(benchmark::State& state) {
  const auto model = model_of(state);
  const std::int64_t batch = state.range(3);
  const auto cache = model->new_cache(batch, kLength);
  const std::vector<std::int64_t> prompt_lengths(static_cast<std::size_t>(batch), 128);
  model->next_logits(at::zeros({batch, 128}, at::kLong), prompt_lengths, *cache);
  const std::vector<std::int64_t> ones(static_cast<std::size_t>(batch), 1);
  const at::Tensor ids = at::zeros({batch, 1}, at::kLong);
  const PassCounts before = model->counts();
  for (auto unused : state) benchmark::DoNotOptimize(model->next_logits(ids, ones, *cache));
  report(state, model->counts() - before);
}

BENCHMARK(score_window)
    ->ArgNames({"shape", "bf16", "aten"})
    ->ArgsProduct({{0, 1}, {0, 1}, {0, 1}})
    ->Unit(benchmark::kMillisecond)
    ->UseRealTime()
    ->MeasureProcessCPUTime();
BENCHMARK(decode_step)
    ->ArgNames({"shape", "bf16", "aten", "batch"})
    ->ArgsProduct({{0, 1}, {0, 1}, {0, 1}, {1, 16}})
    ->Iterations(64)
    ->Unit(benchmark::kMillisecond)
    ->UseRealTime()
    ->MeasureProcessCPUTime();

}  // namespace
}  // namespace dlm

BENCHMARK_MAIN();
