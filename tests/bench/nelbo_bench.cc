// NELBO passes of a network shaped as the published block diffusion models (12 x 768, V = 50258),
// L = 1024: one draw of masks, clean pass included, and eight draws that share it. Weights are
// random, or those of a published folder: nelbo_bench --checkpoint=DIR [Google Benchmark's
// options].
//
// Items are tokens of the sequence, once per draw. flops: FLOP/s by the counts of the network
// itself; of_peak: their share of what one large product of the same dtype reaches here. nelbo: the
// estimate in nats/token, for comparing dtypes on the same weights. peak_mb: the most memory the
// process ever held, so of one benchmark only where the filter picks one.
#include <chrono>
#include <cmath>
#include <cstdint>
#include <map>
#include <numeric>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <benchmark/benchmark.h>
#include <sys/resource.h>

#include "harness/base/random.h"
#include "models/checkpoint/checkpoint.h"
#include "models/dit.h"
#include "models/machine_probe.h"
#include "tests/bench/published_dit.h"

namespace dlm {
namespace {

constexpr std::int64_t kLength = testing::kPublishedLength;
constexpr std::int64_t kVocabulary = testing::kPublishedVocabulary;

std::string checkpoint;  // folder; empty: random weights

// Arguments: block size, draws, dtype (0 f32, 1 bf16).
ModelOptions options_of(const benchmark::State& state) {
  ModelOptions options;
  options.dtype = state.range(2) == 0 ? "f32" : "bf16";
  options.any_block_size = true;
  return options;
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

// Mean of term / t over the tokens, as the published loss with its one draw of masks.
double estimate(std::span<const MaskQuery> queries, const std::vector<std::vector<double>>& terms,
                std::int64_t draws) {
  double sum = 0;
  for (std::size_t q = 0; q < queries.size(); ++q)
    sum += std::accumulate(terms[q].begin(), terms[q].end(), 0.0) / queries[q].t;
  return sum / static_cast<double>(kLength * draws);
}

double peak_megabytes() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<double>(usage.ru_maxrss) / 1024;
}

double peak_flops(const std::string& dtype) {
  static std::map<std::string, double> measured;
  const auto it = measured.find(dtype);
  if (it != measured.end())
    return it->second;
  return measured[dtype] = 1e9 * measure_linear_gflops("auto", dtype, {});
}

void nelbo(benchmark::State& state) {
  const ModelOptions options = options_of(state);
  const auto model = checkpoint.empty() ? testing::published_dit(state.range(0), options.dtype)
                                        : load_dit(Checkpoint::open(checkpoint), options);
  const std::int64_t block_size = state.range(0);
  const std::int64_t draws = state.range(1);
  std::vector<std::vector<std::int64_t>> text(1);
  for (std::int64_t i = 0; i < kLength; ++i) text[0].push_back(i * 7919 % (kVocabulary - 1));
  const auto queries = draw_queries(block_size, draws);
  const auto run = [&] { return model->token_terms(*model->encode(text, block_size), queries); };
  const double nelbo = estimate(queries, run(), draws);
  const double peak_mb = peak_megabytes();
  const PassCounts before = model->counts();
  const auto start = std::chrono::steady_clock::now();
  for (auto unused : state) benchmark::DoNotOptimize(run());
  const std::chrono::duration<double> spent = std::chrono::steady_clock::now() - start;
  const double flops = (model->counts() - before).flops;
  state.SetItemsProcessed(state.iterations() * kLength * draws);
  state.counters["flops"] = benchmark::Counter(flops, benchmark::Counter::kIsRate);
  state.counters["of_peak"] = flops / spent.count() / peak_flops(options.dtype);
  state.counters["nelbo"] = nelbo;
  state.counters["peak_mb"] = peak_mb;
}

BENCHMARK(nelbo)
    ->ArgNames({"block", "draws", "bf16"})
    ->ArgsProduct({{4, 16}, {1, 8}, {0, 1}})
    ->Unit(benchmark::kMillisecond)
    ->UseRealTime()
    ->MeasureProcessCPUTime();

// Takes --checkpoint=DIR out of the arguments.
void read_checkpoint(int& argc, char** argv) {
  constexpr std::string_view kFlag = "--checkpoint=";
  int kept = 0;
  for (int i = 0; i < argc; ++i) {
    const std::string_view argument = argv[i];
    if (argument.starts_with(kFlag))
      checkpoint = argument.substr(kFlag.size());
    else
      argv[kept++] = argv[i];
  }
  argc = kept;
}

}  // namespace
}  // namespace dlm

int main(int argc, char** argv) {
  dlm::read_checkpoint(argc, argv);
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv))
    return 1;
  benchmark::RunSpecifiedBenchmarks();
}
