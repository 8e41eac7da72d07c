// Text from a network of the published shape: first-hitting, nucleus 0.9, random weights. Times
// kTokens tokens a row behind a context, the context's own pass left out, as the peers' script
// does. Items are tokens; passes and bytes of weights read are counted too.
#include <chrono>
#include <cstdint>
#include <memory>
#include <vector>

#include <benchmark/benchmark.h>

#include "models/sampling/block_sampler.h"
#include "models/sampling/token_law.h"
#include "tests/bench/published_dit.h"

namespace dlm {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::int64_t kTokens = 64;

double seconds_of(const DitModel& model, std::span<const Prompt> prompts,
                  const BlockSampleOptions& options) {
  const auto start = Clock::now();
  benchmark::DoNotOptimize(sample_blocks(model, prompts, options));
  return std::chrono::duration<double>(Clock::now() - start).count();
}

// Arguments: block size, context, batch, dtype (0 f32, 1 bf16).
void sampling(benchmark::State& state) {
  const std::int64_t block_size = state.range(0);
  const auto model = testing::published_dit(block_size, state.range(3) == 0 ? "f32" : "bf16");
  std::vector<Prompt> prompts;
  for (std::int64_t row = 0; row < state.range(2); ++row) {
    Prompt prompt{.ids = {}, .example = static_cast<std::uint64_t>(row)};
    for (std::int64_t i = 0; i < state.range(1); ++i)
      prompt.ids.push_back((i * 7919 + row * 104729) % (testing::kPublishedVocabulary - 1));
    prompts.push_back(std::move(prompt));
  }
  BlockSampleOptions options;
  options.block_size = block_size;
  options.batch_size = state.range(2);
  options.filter = {.nucleus_p = 0.9, .nucleus_rule = NucleusRule::kDrop};
  BlockSampleOptions shorter = options;
  shorter.max_new_tokens = block_size;
  options.max_new_tokens = block_size + kTokens;
  seconds_of(*model, prompts, shorter);
  for (auto unused : state)
    state.SetIterationTime(seconds_of(*model, prompts, options) -
                           seconds_of(*model, prompts, shorter));
  state.SetItemsProcessed(state.iterations() * kTokens * state.range(2));
}

BENCHMARK(sampling)
    ->ArgNames({"block", "context", "batch", "bf16"})
    ->ArgsProduct({{4, 16}, {0, 512}, {1, 16}, {0, 1}})
    ->Unit(benchmark::kMillisecond)
    ->UseManualTime();

// One token from V logits. Argument: their spread; small = a flat law, whose nucleus is wide.
void nucleus(benchmark::State& state) {
  const RandomStream stream(1, Purpose::kTest, 0);
  std::vector<float> logits;
  for (std::uint64_t i = 0; i < testing::kPublishedVocabulary; ++i)
    logits.push_back(static_cast<float>(stream.normal(0, i) * static_cast<double>(state.range(0))));
  const TokenFilter filter{.nucleus_p = 0.9, .nucleus_rule = NucleusRule::kDrop};
  double uniform = 0;
  for (auto unused : state) {
    uniform = uniform < 0.9 ? uniform + 0.1 : 0;
    benchmark::DoNotOptimize(draw_from_logits(logits, filter, uniform));
  }
}

BENCHMARK(nucleus)->ArgName("spread")->Arg(0)->Arg(1)->Arg(4)->Unit(benchmark::kMicrosecond);

}  // namespace
}  // namespace dlm

BENCHMARK_MAIN();
