// What ADJUST costs on a network of the published shape with random weights: K tokens per step with
// the layer against one token per step, one after the other in each repeat. Counters: the speed-up,
// the layer's share r of a pass (both as measured here, the head included), the ideal K / (1 + r (K
// - 1)) and the share of it that was reached; `marginal` is the speed-up without the layer.
#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <benchmark/benchmark.h>

#include "models/adjust_layer.h"
#include "models/sampling/block_sampler.h"
#include "models/shape_model.h"
#include "tests/bench/published_dit.h"

namespace dlm {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

class TimedLayer final : public Refresh {
 public:
  explicit TimedLayer(AdjustLayer& layer) : layer_(layer) {}

  bool reads_hidden() const override { return true; }

  void begin(BlockDecoder& decoder, std::span<const std::int64_t> rows) override {
    layer_.begin(decoder, rows);
  }

  void refresh(std::span<RefreshRow> rows) override {
    const auto start = Clock::now();
    layer_.refresh(rows);
    seconds += seconds_since(start);
    ++calls;
  }

  double seconds = 0;
  double calls = 0;

 private:
  AdjustLayer& layer_;
};

struct Texts {
  double seconds = 0;
  double passes = 0;
};

Texts write(const DitModel& model, std::span<const Prompt> prompts,
            const BlockSampleOptions& options) {
  const PassCounts before = model.counts();
  const auto start = Clock::now();
  benchmark::DoNotOptimize(sample_blocks(model, prompts, options));
  return {seconds_since(start), static_cast<double>((model.counts() - before).passes)};
}

// Arguments: block size, batch, K.
void adjust(benchmark::State& state) {
  const std::int64_t block_size = state.range(0);
  const auto K = static_cast<double>(state.range(2));
  const auto model = testing::published_dit(block_size, "f32");
  AdjustLayer layer(make_shape_adjust("shape:adjust", *model), *model);
  TimedLayer timed(layer);
  std::vector<Prompt> prompts;
  for (std::int64_t row = 0; row < state.range(1); ++row)
    prompts.push_back({.ids = {}, .example = static_cast<std::uint64_t>(row)});
  BlockSampleOptions one;
  one.reveal.policy = "random";
  one.block_size = block_size;
  one.max_new_tokens = 64;
  one.batch_size = state.range(1);
  BlockSampleOptions marginal = one;
  marginal.reveal.tokens_per_step = state.range(2);
  BlockSampleOptions adjusted = marginal;
  adjusted.hooks.refresh = &timed;
  write(*model, prompts, one);
  write(*model, prompts, adjusted);
  timed.seconds = timed.calls = 0;
  Texts slow, fast, free;
  for (auto unused : state) {
    const auto add = [&](Texts& sum, const BlockSampleOptions& options) {
      const Texts texts = write(*model, prompts, options);
      sum.seconds += texts.seconds;
      sum.passes += texts.passes;
      return texts.seconds;
    };
    add(slow, one);
    state.SetIterationTime(add(fast, adjusted));
    add(free, marginal);
  }
  const double r = timed.seconds / timed.calls / (slow.seconds / slow.passes);
  const double ideal = K / (1 + r * (K - 1));
  const double speed_up = slow.seconds / fast.seconds;
  state.counters["speed_up"] = speed_up;
  state.counters["r"] = r;
  state.counters["ideal"] = ideal;
  state.counters["share"] = speed_up / ideal;
  state.counters["marginal"] = slow.seconds / free.seconds;
  state.SetItemsProcessed(state.iterations() * one.max_new_tokens * state.range(1));
}

BENCHMARK(adjust)
    ->ArgNames({"block", "batch", "K"})
    ->ArgsProduct({{16, 64}, {1, 8}, {4}})
    ->Unit(benchmark::kMillisecond)
    ->UseManualTime();

}  // namespace
}  // namespace dlm

BENCHMARK_MAIN();
