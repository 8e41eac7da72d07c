// One training step: its gradients alone, and the whole of it with the norm, AdamW and the moving
// average. Items are tokens of the batch; dropout 0.1. Weights are random, or those of
// --weights=DIR (a folder of the same shape); with --disk=DIR the moving average lies in a file
// there. peak_mb is the most memory that the process held so far, so it is of one benchmark where
// the filter names one.
//
//   training_bench --benchmark_filter=^step/published/f32/bd3lm
//
// "published" is the shape that the papers train, 12 layers of 768 over 50258 tokens, at L = 256,
// batch 2, L' = 4; "small" is what two cores can train: 4 layers of 256 over 512 tokens at L = 128,
// batch 32; "zoo" is the models of models/zoo: 4 layers of 64 at batch 16.
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include <ATen/Parallel.h>
#include <ATen/ops/empty.h>

#include <benchmark/benchmark.h>
#include <sys/resource.h>

#include "harness/base/random.h"
#include "models/training/make_trainable.h"
#include "models/training/row_source.h"
#include "models/training/trainer.h"

namespace dlm {
namespace {

struct Shape {
  const char* name;
  std::int64_t layers, width, heads, vocab, length, batch;
};

std::string weights;  // folder
std::string disk;     // folder

constexpr Shape kPublished = {"published", 12, 768, 12, 50258, 256, 2};
constexpr Shape kSmall = {"small", 4, 256, 4, 512, 128, 32};
constexpr Shape kZoo = {"zoo", 4, 64, 2, 513, 128, 16};

void random_row(const Shape& shape, std::uint64_t number, std::span<std::int64_t> ids) {
  const RandomStream stream(1, Purpose::kTest, number);
  for (std::size_t i = 0; i < ids.size(); ++i)
    ids[i] =
        static_cast<std::int64_t>(stream.below(static_cast<std::uint64_t>(shape.vocab - 1), 0, i));
}

class RandomRows : public RowSource {
 public:
  explicit RandomRows(const Shape& shape) : shape_(shape) {}

  std::int64_t length() const override { return shape_.length; }

  std::int64_t vocab_size() const override { return shape_.vocab - 1; }

  std::int64_t rows() const override { return 0; }

  void read(std::uint64_t number, std::span<std::int64_t> ids) const override {
    random_row(shape_, number, ids);
  }

  std::string sha256() const override { return ""; }

 private:
  const Shape& shape_;
};

double peak_megabytes() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<double>(usage.ru_maxrss) / 1024;
}

std::unique_ptr<Trainable> make_network(const Shape& shape, const std::string& objective,
                                        const std::string& dtype) {
  TrainableSpec spec;
  spec.objective = objective;
  spec.layers = shape.layers;
  spec.width = shape.width;
  spec.heads = shape.heads;
  spec.vocab_size = shape.vocab;
  spec.length = shape.length;
  spec.block_size = 4;
  spec.dtype = dtype;
  spec.initial_weights = weights;
  auto network = make_trainable(spec);
  // What begins at 0 would leave the rest without gradients.
  for (const Parameter& parameter : network->parameters()) {
    float* values = parameter.value.mutable_data_ptr<float>();
    const std::int64_t zeros = values[0] == 0 ? parameter.value.numel() : 0;
    for (std::int64_t i = 0; i < zeros; ++i)
      values[i] = static_cast<float>((i * 37 + 11) % 101 - 50) * 4e-4F;
  }
  return network;
}

void gradients(benchmark::State& state, const Shape& shape, const std::string& objective,
               const std::string& dtype) {
  at::set_num_threads(2);
  const auto network = make_network(shape, objective, dtype);
  const at::Tensor ids = at::empty({shape.batch, shape.length}, at::kLong);
  std::uint64_t example = 0;
  double flops = 0;
  for (auto _ : state) {
    for (std::int64_t row = 0; row < shape.batch; ++row, ++example)
      random_row(shape, example,
                 {ids.mutable_data_ptr<std::int64_t>() + row * shape.length,
                  static_cast<std::size_t>(shape.length)});
    const BatchLoss loss =
        network->accumulate_gradients({ids, example - static_cast<std::uint64_t>(shape.batch)}, 1);
    benchmark::DoNotOptimize(loss.sum);
    flops += loss.counts.flops;
  }
  state.SetItemsProcessed(state.iterations() * ids.numel());
  state.counters["flops"] = benchmark::Counter(flops, benchmark::Counter::kIsRate);
  state.counters["peak_mb"] = peak_megabytes();
}

void step(benchmark::State& state, const Shape& shape, const std::string& objective,
          const std::string& dtype) {
  at::set_num_threads(2);
  const auto network = make_network(shape, objective, dtype);
  const RandomRows rows(shape);
  TrainRecipe recipe;
  recipe.objective = objective;
  recipe.batch_size = shape.batch;
  recipe.warmup_steps = 0;
  recipe.average_on_disk = !disk.empty();
  Trainer trainer(*network, rows, recipe, disk);
  trainer.step();
  for (auto _ : state) {
    const StepReport report = trainer.step();
    benchmark::DoNotOptimize(report.loss);
  }
  state.SetItemsProcessed(state.iterations() * shape.batch * shape.length);
  state.counters["peak_mb"] = peak_megabytes();
}

void register_all() {
  for (const Shape* shape : {&kPublished, &kSmall, &kZoo}) {
    for (const std::string objective : {"bd3lm", "mdlm", "ar"}) {
      for (const std::string dtype : {"f32", "bf16"}) {
        const std::string name = std::string(shape->name) + "/" + dtype + "/" + objective;
        benchmark::RegisterBenchmark(name.c_str(), gradients, *shape, objective, dtype)
            ->Unit(benchmark::kMillisecond)
            ->UseRealTime();
        benchmark::RegisterBenchmark(("step/" + name).c_str(), step, *shape, objective, dtype)
            ->Unit(benchmark::kMillisecond)
            ->UseRealTime();
      }
    }
  }
}

// Takes --NAME=VALUE out of the arguments.
void take_flag(std::string_view name, std::string& value, int& argc, char** argv) {
  int kept = 0;
  for (int i = 0; i < argc; ++i) {
    const std::string_view argument = argv[i];
    if (argument.starts_with(name))
      value = argument.substr(name.size());
    else
      argv[kept++] = argv[i];
  }
  argc = kept;
}

}  // namespace
}  // namespace dlm

int main(int argc, char** argv) {
  dlm::take_flag("--weights=", dlm::weights, argc, argv);
  dlm::take_flag("--disk=", dlm::disk, argc, argv);
  dlm::register_all();
  benchmark::Initialize(&argc, argv);
  benchmark::RunSpecifiedBenchmarks();
  benchmark::Shutdown();
}
