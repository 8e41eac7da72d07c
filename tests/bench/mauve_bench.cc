// MAUVE with its default settings on 5000 x 1280 features a side, the size its authors use. `gauss`
// is isotropic, so that nearly every component is kept and k-means ends after few iterations;
// `spectrum` is a mixture with falling variances, as hidden states have: few components, many
// iterations.
#include <cmath>
#include <cstdint>
#include <vector>

#include <ATen/ops/empty.h>

#include <benchmark/benchmark.h>

#include "harness/base/random.h"
#include "metrics/mauve.h"
#include "metrics/pca.h"

namespace dlm {
namespace {

constexpr std::int64_t kRows = 5000, kDims = 1280;
constexpr std::uint64_t kCentres = 60;

enum class Data { kGauss, kSpectrum };

at::Tensor gauss(std::uint64_t side) {
  const RandomStream stream(1, Purpose::kTest, side);
  at::Tensor rows = at::empty({kRows, kDims}, at::kFloat);
  float* to = rows.mutable_data_ptr<float>();
  for (std::int64_t i = 0; i < kRows * kDims; ++i) {
    to[i] = static_cast<float>(stream.normal(0, static_cast<std::uint64_t>(i)) +
                               0.05 * static_cast<double>(side));
  }
  return rows;
}

// Centres of a mixture, the second side with uneven weights; scale of dimension d is (d + 1)^-0.6.
at::Tensor spectrum(std::uint64_t side) {
  const RandomStream stream(2, Purpose::kTest, side), shared(3, Purpose::kTest, 0);
  at::Tensor rows = at::empty({kRows, kDims}, at::kFloat);
  float* to = rows.mutable_data_ptr<float>();
  for (std::int64_t row = 0; row < kRows; ++row) {
    const double place = stream.uniform(1, static_cast<std::uint64_t>(row));
    const auto centre = static_cast<std::uint64_t>((side == 0 ? place : std::pow(place, 1.5)) *
                                                   static_cast<double>(kCentres));
    for (std::int64_t d = 0; d < kDims; ++d) {
      const auto at = static_cast<std::uint64_t>(row * kDims + d);
      const double value =
          stream.normal(2, at) + 2 * shared.normal(centre, static_cast<std::uint64_t>(d));
      *to++ = static_cast<float>(value * std::pow(static_cast<double>(d + 1), -0.6));
    }
  }
  return rows;
}

const MauveInputs& inputs_of(Data data) {
  static const MauveInputs kGaussSets{gauss(0), gauss(1)};
  static const MauveInputs kSpectrumSets{spectrum(0), spectrum(1)};
  return data == Data::kGauss ? kGaussSets : kSpectrumSets;
}

void whole_score(benchmark::State& state, Data data) {
  const MauveInputs& inputs = inputs_of(data);
  std::uint64_t seed = 25;
  MauveResult result;
  for (auto _ : state) {
    MauveOptions options;
    options.seeds = 1;
    options.seed = seed++;
    result = mauve(inputs, options);
  }
  state.counters["mauve"] = result.mean.mauve;
  state.counters["components"] = static_cast<double>(result.components);
  state.counters["iterations"] = static_cast<double>(result.runs.front().iterations);
}

void components(benchmark::State& state, Data data) {
  const MauveInputs& inputs = inputs_of(data);
  for (auto _ : state) {
    const Pca pca = principal_components(inputs.p, 0.9);
    benchmark::DoNotOptimize(pca.projected.const_data_ptr());
  }
}

BENCHMARK_CAPTURE(whole_score, gauss, Data::kGauss)->Unit(benchmark::kMillisecond)->UseRealTime();
BENCHMARK_CAPTURE(whole_score, spectrum, Data::kSpectrum)
    ->Unit(benchmark::kMillisecond)
    ->UseRealTime();
BENCHMARK_CAPTURE(components, gauss, Data::kGauss)->Unit(benchmark::kMillisecond)->UseRealTime();
BENCHMARK_CAPTURE(components, spectrum, Data::kSpectrum)
    ->Unit(benchmark::kMillisecond)
    ->UseRealTime();

}  // namespace
}  // namespace dlm

BENCHMARK_MAIN();
