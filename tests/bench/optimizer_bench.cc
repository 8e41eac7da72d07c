// A step of the optimizer on as many weights as the published 12-layer model has (170 M): one pass
// over five arrays, with all in memory or the moving average on the disk of the temporary folder,
// against the same step in separate passes as a framework makes them.
#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include <ATen/ops/full.h>

#include <benchmark/benchmark.h>

#include "models/training/adamw.h"

namespace {

constexpr std::int64_t kWeights = 169'627'218;

std::vector<dlm::Parameter> parameters() {
  return {{"all", at::full({kWeights}, 0.01), at::full({kWeights}, 1e-3)}};
}

void fused_step(benchmark::State& state, const std::string& average_folder) {
  const auto all = parameters();
  dlm::AdamW optimizer(all, {.average_folder = average_folder});
  for (auto _ : state) {
    const double norm = optimizer.gradient_norm();
    optimizer.step({3e-4, std::min(1.0, 1 / norm)});
  }
  state.SetItemsProcessed(state.iterations() * kWeights);
}

void BM_FusedStep(benchmark::State& state) {
  fused_step(state, "");
}

void BM_FusedStepAverageOnDisk(benchmark::State& state) {
  fused_step(state, std::filesystem::temp_directory_path().string());
}

// Norm, scaling, both moments, update, average, zeroing: each a pass of its own, of libtorch.
void BM_SeparatePasses(benchmark::State& state) {
  const auto all = parameters();
  at::Tensor value = all[0].value, gradient = all[0].gradient;
  at::Tensor first = at::full({kWeights}, 0.0), second = at::full({kWeights}, 0.0);
  at::Tensor average = value.clone();
  for (auto _ : state) {
    benchmark::DoNotOptimize(gradient.norm());
    gradient.mul_(0.5);
    first.lerp_(gradient, 0.1);
    second.mul_(0.999).addcmul_(gradient, gradient, 1e-3);
    value.addcdiv_(first, second.sqrt().add_(1e-8), -3e-4);
    average.lerp_(value, 1e-4);
    gradient.zero_();
  }
  state.SetItemsProcessed(state.iterations() * kWeights);
}

BENCHMARK(BM_FusedStep)->Unit(benchmark::kMillisecond)->UseRealTime()->Iterations(3);
BENCHMARK(BM_FusedStepAverageOnDisk)->Unit(benchmark::kMillisecond)->UseRealTime()->Iterations(3);
BENCHMARK(BM_SeparatePasses)->Unit(benchmark::kMillisecond)->UseRealTime()->Iterations(3);

}  // namespace

BENCHMARK_MAIN();
