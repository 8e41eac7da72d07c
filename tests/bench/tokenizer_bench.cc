// Encoding, decoding and loading of the published tokenizers, one thread. Items are bytes of text;
// reads DLMBENCH_DATA.
#include <string>

#include <benchmark/benchmark.h>

#include "harness/base/file.h"
#include "models/tokenizer/tokenizer.h"
#include "tests/support/data.h"

namespace dlm {
namespace {

using testing::data_path;

constexpr const char* kFolders[] = {"data/tokenizers/gpt2", "data/tokenizers/qwen2",
                                    "data/tokenizers/bert-base-uncased"};

std::string wikitext() {
  const auto file = MappedFile::open(data_path("data/corpora/wikitext-2/wiki.test.tokens"));
  return std::string(file->text());
}

void set_bytes(benchmark::State& state, const std::string& text) {
  state.SetBytesProcessed(state.iterations() * static_cast<std::int64_t>(text.size()));
  state.SetLabel(kFolders[state.range(0)]);
}

void encode(benchmark::State& state) {
  const auto tokenizer = load_tokenizer(data_path(kFolders[state.range(0)]));
  const std::string text = wikitext();
  for (auto _ : state) benchmark::DoNotOptimize(tokenizer->encode(text).size());
  set_bytes(state, text);
}

// A new tokenizer each time: no piece is remembered.
void encode_cold(benchmark::State& state) {
  const std::string text = wikitext();
  for (auto _ : state) {
    state.PauseTiming();
    auto tokenizer = load_tokenizer(data_path(kFolders[state.range(0)]));
    state.ResumeTiming();
    benchmark::DoNotOptimize(tokenizer->encode(text).size());
    state.PauseTiming();
    tokenizer.reset();
    state.ResumeTiming();
  }
  set_bytes(state, text);
}

void decode(benchmark::State& state) {
  const auto tokenizer = load_tokenizer(data_path(kFolders[state.range(0)]));
  const std::string text = wikitext();
  const TokenIds ids = tokenizer->encode(text);
  for (auto _ : state) benchmark::DoNotOptimize(tokenizer->decode(ids).size());
  set_bytes(state, text);
}

void load(benchmark::State& state) {
  for (auto _ : state)
    benchmark::DoNotOptimize(load_tokenizer(data_path(kFolders[state.range(0)]))->id_limit());
  state.SetLabel(kFolders[state.range(0)]);
}

BENCHMARK(encode)->DenseRange(0, 2)->Unit(benchmark::kMillisecond);
BENCHMARK(encode_cold)->DenseRange(0, 2)->Unit(benchmark::kMillisecond)->Iterations(5);
BENCHMARK(decode)->DenseRange(0, 2)->Unit(benchmark::kMillisecond);
BENCHMARK(load)->DenseRange(0, 2)->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace dlm

BENCHMARK_MAIN();
