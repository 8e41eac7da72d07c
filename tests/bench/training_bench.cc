// Gradients of one training step. Items are tokens of the batch. Weights are random; dropout 0.1.
//
//   training_bench --benchmark_filter=published/f32
//
// "published" is the shape that the papers train, 12 layers of 768 over 50258 tokens, at L = 256,
// batch 2, L' = 4; "small" is what two cores can train: 4 layers of 256 over 512 tokens at L = 128,
// batch 32.
#include <cstdint>
#include <string>

#include <ATen/Parallel.h>
#include <ATen/ops/empty.h>

#include <benchmark/benchmark.h>

#include "harness/base/random.h"
#include "models/training/make_trainable.h"

namespace dlm {
namespace {

struct Shape {
  const char* name;
  std::int64_t layers, width, heads, vocab, length, batch;
};

constexpr Shape kPublished = {"published", 12, 768, 12, 50258, 256, 2};
constexpr Shape kSmall = {"small", 4, 256, 4, 512, 128, 32};

at::Tensor random_ids(const Shape& shape) {
  const RandomStream stream(1, Purpose::kTest, 0);
  at::Tensor ids = at::empty({shape.batch, shape.length}, at::kLong);
  for (std::int64_t i = 0; i < ids.numel(); ++i) {
    ids.mutable_data_ptr<std::int64_t>()[i] = static_cast<std::int64_t>(stream.below(
        static_cast<std::uint64_t>(shape.vocab - 1), 0, static_cast<std::uint64_t>(i)));
  }
  return ids;
}

void gradients(benchmark::State& state, const Shape& shape, const std::string& objective,
               const std::string& dtype) {
  at::set_num_threads(2);
  TrainableSpec spec;
  spec.objective = objective;
  spec.layers = shape.layers;
  spec.width = shape.width;
  spec.heads = shape.heads;
  spec.vocab_size = shape.vocab;
  spec.length = shape.length;
  spec.block_size = 4;
  spec.dtype = dtype;
  const auto network = make_trainable(spec);
  // What begins at 0 would leave the rest without gradients.
  for (const Parameter& parameter : network->parameters()) {
    float* values = parameter.value.mutable_data_ptr<float>();
    const std::int64_t zeros = values[0] == 0 ? parameter.value.numel() : 0;
    for (std::int64_t i = 0; i < zeros; ++i)
      values[i] = static_cast<float>((i * 37 + 11) % 101 - 50) * 4e-4F;
  }
  const at::Tensor ids = random_ids(shape);
  std::uint64_t example = 0;
  double flops = 0;
  for (auto _ : state) {
    const BatchLoss loss = network->accumulate_gradients({ids, example}, 1);
    benchmark::DoNotOptimize(loss.sum);
    example += static_cast<std::uint64_t>(shape.batch);
    flops += loss.counts.flops;
  }
  state.SetItemsProcessed(state.iterations() * ids.numel());
  state.counters["flops"] = benchmark::Counter(flops, benchmark::Counter::kIsRate);
}

void register_all() {
  for (const Shape* shape : {&kPublished, &kSmall}) {
    for (const std::string objective : {"bd3lm", "mdlm", "ar"}) {
      for (const std::string dtype : {"f32", "bf16"}) {
        const std::string name = std::string(shape->name) + "/" + dtype + "/" + objective;
        benchmark::RegisterBenchmark(name.c_str(), gradients, *shape, objective, dtype)
            ->Unit(benchmark::kMillisecond)
            ->UseRealTime();
      }
    }
  }
}

}  // namespace
}  // namespace dlm

int main(int argc, char** argv) {
  dlm::register_all();
  benchmark::Initialize(&argc, argv);
  benchmark::RunSpecifiedBenchmarks();
  benchmark::Shutdown();
}
