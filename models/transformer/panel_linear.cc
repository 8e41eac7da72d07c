#include "models/transformer/panel_linear.h"

#include <algorithm>
#include <cstdlib>
#include <new>

#include <ATen/ops/empty.h>

#include <omp.h>
#include <sys/mman.h>

#include "harness/base/error.h"
#include "models/transformer/row_kernels.h"

namespace dlm {
namespace {

constexpr std::size_t kHugePage = std::size_t{2} << 20;

struct Free {
  void operator()(void* memory) const { std::free(memory); }
};

using Memory = std::unique_ptr<void, Free>;

// In large pages where the system has them: weights are read faster then (26 -> 37 GB/s here).
Memory large_memory(std::size_t bytes) {
  const std::size_t alignment = bytes >= kHugePage ? kHugePage : 64;
  const std::size_t size = (bytes + alignment - 1) / alignment * alignment;
  Memory memory(std::aligned_alloc(alignment, size));
  if (!memory)
    throw std::bad_alloc();
#ifdef MADV_HUGEPAGE
  if (bytes >= kHugePage)  // advice: where it is refused, pages stay small
    (void)madvise(memory.get(), bytes / kHugePage * kHugePage, MADV_HUGEPAGE);
#endif
  return memory;
}

// Memory of a calling thread that grows to what its largest product needs.
class Scratch {
 public:
  void* at_least(std::size_t bytes) {
    if (bytes > bytes_) {
      memory_.reset();
      memory_ = large_memory(bytes);
      bytes_ = bytes;
    }
    return memory_.get();
  }

 private:
  Memory memory_;
  std::size_t bytes_ = 0;
};

// Pairs of panels, shared out in one run for each thread.
std::int64_t share(std::int64_t panels, int thread, int threads) {
  return panels / 2 * thread / threads * 2;
}

void run_multiply(const PanelTask& task) {
#pragma omp parallel
  {
    const int thread = omp_get_thread_num(), threads = omp_get_num_threads();
    const std::int64_t panels = task.shape.panels();
    multiply_panels(task, share(panels, thread, threads), share(panels, thread + 1, threads));
  }
}

void run_matrix(const PanelTask& task) {
  thread_local Scratch scratch;
  const auto parts = static_cast<std::size_t>(matrix_parts(task)) * sizeof(std::uint16_t);
  const auto sums = static_cast<std::size_t>(matrix_sums(task)) * sizeof(float);
  auto* memory = static_cast<std::byte*>(scratch.at_least(parts + sums));
  const MatrixScratch at{reinterpret_cast<std::uint16_t*>(memory),
                         reinterpret_cast<float*>(memory + parts)};
  // A single tile has as many rows as there are; of more, each is whole.
  const std::int64_t rows =
      task.rows <= kTileRows ? task.rows : (task.rows + kTileRows - 1) / kTileRows * kTileRows;
#pragma omp parallel
  {
#pragma omp for schedule(static)
    for (std::int64_t row = 0; row < rows; ++row) split_row(task, row, at.parts);
    const int thread = omp_get_thread_num(), threads = omp_get_num_threads();
    const std::int64_t panels = task.shape.panels();
    matrix_panels(task, at, share(panels, thread, threads), share(panels, thread + 1, threads));
  }
}

}  // namespace

class PanelWeights {
 public:
  PanelWeights(const at::Tensor& weight, const at::Tensor& bias)
      : shape_{weight.size(1), weight.size(0), weight.scalar_type() == at::kBFloat16} {
    const at::Tensor plain = weight.contiguous();
    const std::int64_t panels = shape_.panels();
    memory_ = large_memory(static_cast<std::size_t>(panels * shape_.panel_size()) *
                           static_cast<std::size_t>(plain.element_size()));
    const void* from = plain.const_data_ptr();
#pragma omp parallel for schedule(static)
    for (std::int64_t panel = 0; panel < panels; ++panel)
      pack_panel(shape_, from, panel, memory_.get());
    bias_.resize(static_cast<std::size_t>(panels * kPanelOutputs), 0.0F);
    if (bias.defined()) {
      const at::Tensor wide = bias.to(at::kFloat).contiguous();
      std::copy_n(wide.const_data_ptr<float>(), shape_.outputs, bias_.begin());
    }
  }

  PanelTask task() const {
    PanelTask task;
    task.shape = shape_;
    task.panels = memory_.get();
    task.bias = bias_.data();
    return task;
  }

 private:
  PanelShape shape_;
  Memory memory_;
  std::vector<float> bias_;
};

bool panels_work(at::Device device, at::ScalarType dtype) {
  if (!device.is_cpu() || !vector_kernels_work())
    return false;
  return dtype == at::kFloat || (dtype == at::kBFloat16 && matrix_unit_works());
}

std::shared_ptr<const PanelWeights> make_panels(const at::Tensor& weight, const at::Tensor& bias) {
  DLM_CHECK(panels_work(weight.device(), weight.scalar_type()), "panels of this dtype");
  return std::make_shared<const PanelWeights>(weight, bias);
}

at::Tensor panel_linear(const PanelWeights& weights, const at::Tensor& x, const PanelEnd& end) {
  PanelTask task = weights.task();
  const at::ScalarType dtype = task.shape.brain ? at::kBFloat16 : at::kFloat;
  DLM_CHECK(x.dim() == 2 && x.size(1) == task.shape.inputs && x.scalar_type() == dtype,
            "rows of {} inputs for a weight of {}", x.size(-1), task.shape.inputs);
  const at::Tensor rows = x.stride(1) == 1 || x.size(1) == 1 ? x : x.contiguous();
  at::Tensor out = at::empty({x.size(0), task.shape.outputs}, x.options());
  if (x.size(0) == 0)
    return out;
  task.x = rows.const_data_ptr();
  task.rows = rows.size(0);
  task.x_stride = rows.stride(0);
  task.activation = end.activation;
  task.combine = end.combine;
  if (end.other.defined()) {
    DLM_CHECK(end.other.is_contiguous() && end.other.sizes() == out.sizes() &&
                  end.other.scalar_type() == dtype,
              "what is combined has {} elements", end.other.numel());
    task.other = end.other.const_data_ptr();
  }
  task.out = out.mutable_data_ptr();
  if (matrix_unit_works())
    run_matrix(task);
  else
    run_multiply(task);
  return out;
}

}  // namespace dlm
