// Writing and reading example rows; items are rows. The budget: 100,000 rows written in under 2 s.
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include <benchmark/benchmark.h>

#include "tests/results/sample_run.h"

namespace {

using dlm::ExampleRow;
using dlm::Restart;
using dlm::Store;

constexpr std::int64_t kRows = 100000;

// An empty folder for one store, removed at the end.
class StoreFolder {
 public:
  StoreFolder() : path_(std::filesystem::temp_directory_path() / "dlmbench-store-bench") {
    std::filesystem::remove_all(path_);
    std::filesystem::create_directory(path_);
  }

  StoreFolder(const StoreFolder&) = delete;
  StoreFolder& operator=(const StoreFolder&) = delete;

  ~StoreFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }

  std::string file() const { return (path_ / "runs.db").string(); }

 private:
  std::filesystem::path path_;
};

// `output_bytes` of generated text a row, different in every row; 0 for likelihood.
std::vector<ExampleRow> bench_rows(std::int64_t output_bytes) {
  std::vector<ExampleRow> rows = dlm::testing::sample_rows(0, kRows);
  for (ExampleRow& row : rows) {
    row.output.clear();
    while (std::ssize(row.output) < output_bytes) row.output += row.doc_id + " says something; ";
  }
  return rows;
}

void write_rows(Store& store, const std::string& run, std::span<const ExampleRow> rows,
                std::size_t batch) {
  for (std::size_t i = 0; i < rows.size(); i += batch)
    store.add_rows(run, rows.subspan(i, std::min(batch, rows.size() - i)));
}

// Arguments: rows a transaction, bytes of output a row.
void add_rows(benchmark::State& state) {
  const std::vector<ExampleRow> rows = bench_rows(state.range(1));
  for (auto _ : state) {
    state.PauseTiming();
    const StoreFolder folder;
    auto store = Store::open(folder.file(), {});
    const auto run = store->begin_run(dlm::testing::sample_header("a"), Restart::kResume).run_id;
    state.ResumeTiming();
    write_rows(*store, run, rows, static_cast<std::size_t>(state.range(0)));
    state.PauseTiming();
    store.reset();
    state.ResumeTiming();
  }
  state.SetItemsProcessed(state.iterations() * kRows);
}

void read_rows(benchmark::State& state) {
  const std::vector<ExampleRow> rows = bench_rows(state.range(0));
  const StoreFolder folder;
  const auto store = Store::open(folder.file(), {});
  const auto run = store->begin_run(dlm::testing::sample_header("a"), Restart::kResume).run_id;
  write_rows(*store, run, rows, 1000);
  for (auto _ : state) benchmark::DoNotOptimize(store->rows(run));
  state.SetItemsProcessed(state.iterations() * kRows);
}

BENCHMARK(add_rows)
    ->ArgNames({"batch", "output"})
    ->Args({32, 0})
    ->Args({1000, 0})
    ->Args({1000, 1000})
    ->Unit(benchmark::kMillisecond);
BENCHMARK(read_rows)->ArgName("output")->Arg(0)->Arg(1000)->Unit(benchmark::kMillisecond);

}  // namespace

BENCHMARK_MAIN();
