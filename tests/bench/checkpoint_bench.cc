// Opening and reading checkpoints: a sparse file stands for a large one, and is read once before
// it is timed, so that the page cache, not the disk, is measured.
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <string>
#include <system_error>
#include <vector>

#include <benchmark/benchmark.h>

#include "harness/base/error.h"
#include "models/checkpoint/checkpoint.h"
#include "models/checkpoint/weights.h"

namespace {

using dlm::Dtype;

// A model folder with one file of zeros: `tensors` tensors of [rows, 1024] each.
class SparseModel {
 public:
  SparseModel(int tensors, std::int64_t rows, Dtype dtype) {
    std::string pattern =
        (std::filesystem::temp_directory_path() / "dlmbench-bench-XXXXXX").string();
    folder_ = mkdtemp(pattern.data());
    dlm::write_file_atomically(folder_ + "/config.json", "{}");
    const std::int64_t bytes = rows * 1024 * static_cast<std::int64_t>(dlm::dtype_size(dtype));
    std::string header = "{";
    for (int i = 0; i < tensors; ++i) {
      header += fmt::format(
          R"({}"model.layers.{}.self_attn.q_proj.weight":{{"dtype":"{}","shape":[{},1024],)"
          R"("data_offsets":[{},{}]}})",
          i == 0 ? "" : ",", i, dlm::dtype_name(dtype), rows, i * bytes, (i + 1) * bytes);
    }
    header += '}';
    header.resize((header.size() + 8 + 63) / 64 * 64 - 8, ' ');
    const std::uint64_t length = header.size();
    std::string start(8, '\0');
    std::memcpy(start.data(), &length, 8);
    const std::string path = folder_ + "/model.safetensors";
    dlm::write_file_atomically(path, start + header);
    bytes_ = tensors * bytes;
    std::filesystem::resize_file(path,
                                 start.size() + header.size() + static_cast<std::uint64_t>(bytes_));
  }

  SparseModel(const SparseModel&) = delete;
  SparseModel& operator=(const SparseModel&) = delete;

  ~SparseModel() {
    std::error_code ignored;
    std::filesystem::remove_all(folder_, ignored);
  }

  dlm::Checkpoint open() const { return dlm::Checkpoint::open(folder_); }

  std::int64_t bytes() const { return bytes_; }

 private:
  std::string folder_;
  std::int64_t bytes_ = 0;
};

// 3 GiB in as many tensors as the argument says.
void open_three_gigabytes(benchmark::State& state) {
  const auto tensors = static_cast<int>(state.range(0));
  const SparseModel model(tensors, (std::int64_t{3} << 30U) / 4096 / tensors, Dtype::kF32);
  for (auto _ : state) benchmark::DoNotOptimize(model.open().tensors.size());
}

void hash_weights(benchmark::State& state) {
  const SparseModel model(24, 8192, Dtype::kF32);
  const dlm::Checkpoint checkpoint = model.open();
  benchmark::DoNotOptimize(checkpoint.weights_sha256());
  for (auto _ : state) benchmark::DoNotOptimize(checkpoint.weights_sha256());
  state.SetBytesProcessed(state.iterations() * model.bytes());
}

// Loads a model of 24 tensors, 8 Mi elements each, as a network does; bytes are those of the file.
void materialise(benchmark::State& state, Dtype from, at::ScalarType to) {
  const SparseModel model(24, 8192, from);
  const dlm::Checkpoint checkpoint = model.open();
  benchmark::DoNotOptimize(checkpoint.weights_sha256());
  for (auto _ : state) {
    std::vector<at::Tensor> loaded;
    for (const auto& [name, view] : checkpoint.tensors)
      loaded.push_back(dlm::materialise(dlm::as_tensor(view), to, name));
    benchmark::DoNotOptimize(loaded.data());
  }
  state.SetBytesProcessed(state.iterations() * model.bytes());
}

BENCHMARK(open_three_gigabytes)->Arg(1)->Arg(1000)->Unit(benchmark::kMillisecond);
BENCHMARK(hash_weights)->Unit(benchmark::kMillisecond)->UseRealTime();
BENCHMARK_CAPTURE(materialise, f32_f32, Dtype::kF32, at::kFloat)
    ->Unit(benchmark::kMillisecond)
    ->UseRealTime();
BENCHMARK_CAPTURE(materialise, bf16_bf16, Dtype::kBf16, at::kBFloat16)
    ->Unit(benchmark::kMillisecond)
    ->UseRealTime();
BENCHMARK_CAPTURE(materialise, f16_f16, Dtype::kF16, at::kHalf)
    ->Unit(benchmark::kMillisecond)
    ->UseRealTime();
BENCHMARK_CAPTURE(materialise, bf16_f32, Dtype::kBf16, at::kFloat)
    ->Unit(benchmark::kMillisecond)
    ->UseRealTime();
BENCHMARK_CAPTURE(materialise, f16_f32, Dtype::kF16, at::kFloat)
    ->Unit(benchmark::kMillisecond)
    ->UseRealTime();
BENCHMARK_CAPTURE(materialise, f32_bf16, Dtype::kF32, at::kBFloat16)
    ->Unit(benchmark::kMillisecond)
    ->UseRealTime();
BENCHMARK_CAPTURE(materialise, f32_f16, Dtype::kF32, at::kHalf)
    ->Unit(benchmark::kMillisecond)
    ->UseRealTime();

}  // namespace

BENCHMARK_MAIN();
