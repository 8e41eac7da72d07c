// NELBO passes of a network shaped as the published block diffusion models (12 x 768, V = 50258)
// with random weights, L = 1024: one draw of masks, clean pass included, and eight draws that share
// it. Items are tokens of the sequence, once per draw; flops is FLOP/s by the counts of the network
// itself.
#include <cmath>
#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include <ATen/ops/ones.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/zeros.h>

#include <benchmark/benchmark.h>

#include "harness/base/random.h"
#include "models/dit.h"
#include "models/transformer/inference_scope.h"

namespace dlm {
namespace {

constexpr std::int64_t kLength = 1024;
constexpr std::int64_t kWidth = 768;
constexpr std::int64_t kVocabulary = 50258;

Linear random_linear(std::int64_t inputs, std::int64_t outputs, const Compute& compute) {
  const at::Tensor weight = at::randn({outputs, inputs}).mul_(0.02).to(compute.dtype);
  return make_linear(weight, at::zeros({outputs}, compute.dtype), compute.backend);
}

// Folded conditioning gives every norm a bias.
Norm unit_norm(const Compute& compute) {
  return {NormKind::kLayer, at::ones({kWidth}, compute.dtype), at::zeros({kWidth}, compute.dtype),
          1e-5};
}

// Arguments: block size, draws, dtype (0 f32, 1 bf16).
std::unique_ptr<DitModel> random_model(const benchmark::State& state) {
  const InferenceScope scope;
  ModelOptions options;
  options.dtype = state.range(2) == 0 ? "f32" : "bf16";
  Dit dit;
  dit.config.shape = {kVocabulary, kWidth, 12, 12, 12, kWidth / 12, 4 * kWidth, kLength};
  dit.config.block_size = state.range(0);
  dit.config.mask_id = kVocabulary - 1;
  Decoder& decoder = dit.decoder;
  decoder.compute = resolve_compute(options);
  decoder.shape = dit.config.shape;
  const Compute& compute = decoder.compute;
  decoder.rotary = std::make_unique<RotaryTable>(RotaryConfig{.head_dim = kWidth / 12},
                                                 compute.dtype, compute.device);
  decoder.token_embedding = at::randn({kVocabulary, kWidth}).mul_(0.02).to(compute.dtype);
  for (std::int64_t layer = 0; layer < 12; ++layer) {
    DecoderBlock block;
    block.attention_norm = unit_norm(compute);
    block.qkv = random_linear(kWidth, 3 * kWidth, compute);
    block.attention_out = random_linear(kWidth, kWidth, compute);
    block.mlp_norm = unit_norm(compute);
    block.mlp.up = random_linear(kWidth, 4 * kWidth, compute);
    block.mlp.down = random_linear(4 * kWidth, kWidth, compute);
    decoder.blocks.push_back(std::move(block));
  }
  dit.last_keys = random_linear(kWidth, 2 * kWidth, compute);
  decoder.final_norm = unit_norm(compute);
  decoder.head = random_linear(kWidth, kVocabulary, compute);
  ModelInfo info;
  info.family = "bd3lm";
  info.vocab_size = kVocabulary;
  info.max_length = kLength;
  return std::make_unique<DitModel>(std::move(dit), std::move(info), BlockSizes::kTrained);
}

// As the published evaluation: t uniform per block, each token hidden with chance t.
std::vector<MaskQuery> draw_queries(std::int64_t block_size, std::int64_t draws) {
  std::vector<MaskQuery> queries;
  for (std::int64_t draw = 0; draw < draws; ++draw) {
    const RandomStream stream(1, Purpose::kMaskDraw, 0, static_cast<std::uint64_t>(draw));
    for (std::int64_t block = 0; block < kLength / block_size; ++block) {
      MaskQuery query{0, block, {}, stream.uniform(0, static_cast<std::uint64_t>(block))};
      for (std::int64_t i = 0; i < block_size; ++i) {
        if (stream.uniform(1, static_cast<std::uint64_t>(block * block_size + i)) < query.t)
          query.masked.push_back(i);
      }
      if (!query.masked.empty())
        queries.push_back(query);
    }
  }
  return queries;
}

void nelbo(benchmark::State& state) {
  const auto model = random_model(state);
  const std::int64_t block_size = state.range(0);
  const std::int64_t draws = state.range(1);
  std::vector<std::vector<std::int64_t>> text(1);
  for (std::int64_t i = 0; i < kLength; ++i) text[0].push_back(i * 7919 % (kVocabulary - 1));
  const auto queries = draw_queries(block_size, draws);
  const auto run = [&] { return model->token_terms(*model->encode(text, block_size), queries); };
  run();
  const PassCounts before = model->counts();
  for (auto unused : state) benchmark::DoNotOptimize(run());
  state.SetItemsProcessed(state.iterations() * kLength * draws);
  state.counters["flops"] =
      benchmark::Counter((model->counts() - before).flops, benchmark::Counter::kIsRate);
}

BENCHMARK(nelbo)
    ->ArgNames({"block", "draws", "bf16"})
    ->ArgsProduct({{4, 16}, {1, 8}, {0, 1}})
    ->Unit(benchmark::kMillisecond)
    ->UseRealTime()
    ->MeasureProcessCPUTime();

}  // namespace
}  // namespace dlm

BENCHMARK_MAIN();
