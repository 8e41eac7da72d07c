// NELBO passes of a network shaped as the published block diffusion models (12 x 768, V = 50258)
// with random weights, L = 1024: one draw of masks, clean pass included, and eight draws that share
// it. Items are tokens of the sequence, once per draw; flops is FLOP/s by the counts of the network
// itself.
#include <cstdint>
#include <vector>

#include <benchmark/benchmark.h>

#include "harness/base/random.h"
#include "tests/bench/published_dit.h"

namespace dlm {
namespace {

constexpr std::int64_t kLength = testing::kPublishedLength;
constexpr std::int64_t kVocabulary = testing::kPublishedVocabulary;

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

// Arguments: block size, draws, dtype (0 f32, 1 bf16).
void nelbo(benchmark::State& state) {
  const std::int64_t block_size = state.range(0);
  const auto model = testing::published_dit(block_size, state.range(2) == 0 ? "f32" : "bf16");
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
