#include "models/training/row_ops.h"

#include <algorithm>
#include <cmath>

#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/zeros.h>

#include "harness/base/random.h"

namespace dlm {
namespace {

// The vector of a run's group.
const float* of_group(const at::Tensor& vectors, const RowRun& run) {
  if (!vectors.defined())
    return nullptr;
  const std::int64_t group = vectors.size(0) == 1 ? 0 : run.group;
  return vectors.const_data_ptr<float>() + group * vectors.size(1);
}

// Adds the runs' sums (runs, columns) to their groups, in order -> (groups, columns).
at::Tensor by_group(const std::vector<RowRun>& runs, const at::Tensor& sums, std::int64_t groups) {
  const std::int64_t columns = sums.size(1);
  at::Tensor out = at::zeros({groups, columns}, at::kFloat);
  const float* from = sums.const_data_ptr<float>();
  float* to = out.mutable_data_ptr<float>();
  for (const RowRun& run : runs) {
    add_values(to + (groups == 1 ? 0 : run.group) * columns, from, columns);
    from += columns;
  }
  return out;
}

bool is_brain(const at::Tensor& x) {
  return x.scalar_type() == at::kBFloat16;
}

constexpr std::int64_t kValuesPerTask = 1 << 14;

}  // namespace

at::Tensor norm_forward(const NormCall& call, at::ScalarType dtype, at::Tensor& stats) {
  const auto& [runs, x, vectors] = call;
  const bool known = stats.defined();
  if (!known)
    stats = at::empty({x.size(0), 2}, at::kFloat);
  at::Tensor h = at::empty(x.sizes(), x.options().dtype(dtype));
  NormLoop loop;
  loop.x = x.const_data_ptr<float>();
  loop.stats = stats.mutable_data_ptr<float>();
  loop.h = h.mutable_data_ptr();
  loop.width = x.size(1);
  loop.brain = is_brain(h);
#pragma omp parallel for schedule(static) firstprivate(loop)
  for (std::size_t i = 0; i < runs.size(); ++i) {
    loop.weight = of_group(vectors.weight, runs[i]);
    loop.bias = of_group(vectors.bias, runs[i]);
    known ? norm_rows_again(loop, runs[i]) : norm_rows(loop, runs[i]);
  }
  return h;
}

NormGradients norm_backward(const NormCall& call, const at::Tensor& stats, const at::Tensor& d_h,
                            const at::Tensor& d_x) {
  const auto& [runs, x, vectors] = call;
  const std::int64_t width = x.size(1);
  const at::Tensor sums = at::zeros({std::ssize(runs), 2 * width}, at::kFloat);
  NormLoop loop;
  loop.x = x.const_data_ptr<float>();
  loop.stats = stats.mutable_data_ptr<float>();
  loop.h = d_h.mutable_data_ptr();
  loop.width = width;
  loop.brain = is_brain(d_h);
  float* const to = d_x.mutable_data_ptr<float>();
  float* const all_sums = sums.mutable_data_ptr<float>();
#pragma omp parallel for schedule(static) firstprivate(loop)
  for (std::size_t i = 0; i < runs.size(); ++i) {
    loop.weight = of_group(vectors.weight, runs[i]);
    norm_backward_rows(loop, runs[i], to, all_sums + static_cast<std::int64_t>(i) * 2 * width);
  }
  const at::Tensor total = by_group(runs, sums, vectors.weight.size(0));
  return {total.narrow(1, 0, width), total.narrow(1, width, width)};
}

at::Tensor gelu_forward(const at::Tensor& u) {
  at::Tensor a = at::empty_like(u);
  const auto* from = static_cast<const char*>(u.const_data_ptr());
  auto* to = static_cast<char*>(a.mutable_data_ptr());
  const std::int64_t count = u.numel();
  const std::int64_t size = u.element_size();
  const bool brain = is_brain(u);
#pragma omp parallel for schedule(static)
  for (std::int64_t i = 0; i < count; i += kValuesPerTask)
    gelu_values(from + i * size, to + i * size, std::min(kValuesPerTask, count - i), brain);
  return a;
}

at::Tensor gelu_backward(const at::Tensor& u, const at::Tensor& d) {
  at::Tensor a = at::empty_like(u);
  const auto* from = static_cast<const char*>(u.const_data_ptr());
  auto* to = static_cast<char*>(a.mutable_data_ptr());
  auto* gradient = static_cast<char*>(d.mutable_data_ptr());
  const std::int64_t count = u.numel();
  const std::int64_t size = u.element_size();
  const bool brain = is_brain(u);
#pragma omp parallel for schedule(static)
  for (std::int64_t i = 0; i < count; i += kValuesPerTask) {
    gelu_backward_values(from + i * size, to + i * size, gradient + i * size,
                         std::min(kValuesPerTask, count - i), brain);
  }
  return a;
}

std::uint32_t Dropout::threshold() const {
  return static_cast<std::uint32_t>(std::lround(probability * 65536));
}

float Dropout::kept_scale() const {
  return 65536.0F / (65536.0F - static_cast<float>(threshold()));
}

at::Tensor draw_keep_mask(const Dropout& dropout, const RowSet& rows, std::int64_t width) {
  if (!dropout.drops())
    return {};
  const std::int64_t stride = (width + kKeepStep - 1) / kKeepStep * kKeepStep;
  const at::Tensor keep = at::empty({rows.rows(), stride}, at::kByte);
  auto* const to = keep.mutable_data_ptr<std::uint8_t>();
  const std::uint32_t threshold = dropout.threshold();
#pragma omp parallel for schedule(dynamic)
  for (std::size_t i = 0; i < rows.spans.size(); ++i) {
    const RowSpan& span = rows.spans[i];
    const std::uint64_t place = dropout.place * 2 + (span.stream == Stream::kClean ? 1 : 0);
    const RandomStream stream(dropout.seed, Purpose::kDropout,
                              dropout.first_example + static_cast<std::uint64_t>(span.sequence),
                              place);
    const auto words = stream.words(0, 0);
    for (std::int64_t row = span.begin; row < span.end; ++row) {
      const auto position =
          static_cast<std::uint32_t>(rows.seen[static_cast<std::size_t>(row)].position);
      draw_keep({{words[0], words[1]}, position, threshold}, to + row * stride, stride);
    }
  }
  return keep;
}

namespace {

GateLoop gate_loop(const at::Tensor& y, const GateParts& parts) {
  GateLoop loop;
  loop.y = y.const_data_ptr();
  loop.kept_scale = parts.kept_scale;
  loop.width = y.size(1);
  loop.brain = is_brain(y);
  if (parts.keep.defined()) {
    loop.keep = parts.keep.const_data_ptr<std::uint8_t>();
    loop.keep_stride = parts.keep.size(1);
  }
  return loop;
}

}  // namespace

at::Tensor gate_forward(const std::vector<RowRun>& runs, const at::Tensor& x, const at::Tensor& y,
                        const GateParts& parts) {
  at::Tensor out = at::empty_like(x);
  GateLoop loop = gate_loop(y, parts);
  loop.x = x.const_data_ptr<float>();
  float* const to = out.mutable_data_ptr<float>();
#pragma omp parallel for schedule(static) firstprivate(loop)
  for (std::size_t i = 0; i < runs.size(); ++i) {
    loop.gate = of_group(parts.gate, runs[i]);
    gate_rows(loop, runs[i], to);
  }
  return out;
}

GateGradients gate_backward(const std::vector<RowRun>& runs, const at::Tensor& d_out,
                            const at::Tensor& y, const GateParts& parts) {
  const bool gated = parts.gate.defined();
  const std::int64_t width = y.size(1);
  GateGradients out;
  out.y = at::empty_like(y);
  const at::Tensor sums = at::zeros({gated ? std::ssize(runs) : 0, width}, at::kFloat);
  GateLoop loop = gate_loop(y, parts);
  const float* const from = d_out.const_data_ptr<float>();
  void* const to = out.y.mutable_data_ptr();
  float* const all_sums = sums.mutable_data_ptr<float>();
#pragma omp parallel for schedule(static) firstprivate(loop)
  for (std::size_t i = 0; i < runs.size(); ++i) {
    loop.gate = of_group(parts.gate, runs[i]);
    gate_backward_rows(
        loop, runs[i],
        {from, to, gated ? all_sums + static_cast<std::int64_t>(i) * width : nullptr});
  }
  if (gated)
    out.gate = by_group(runs, sums, parts.gate.size(0));
  return out;
}

void embedding_backward(const at::Tensor& ids, const at::Tensor& d_x, const at::Tensor& gradient) {
  const auto* rows = ids.const_data_ptr<std::int64_t>();
  const float* from = d_x.const_data_ptr<float>();
  float* const to = gradient.mutable_data_ptr<float>();
  const std::int64_t count = ids.size(0);
  const std::int64_t width = d_x.size(1);
  constexpr std::int64_t kColumns = 64;
  // By columns, so that each sum is taken in the order of rows.
#pragma omp parallel for schedule(static)
  for (std::int64_t column = 0; column < width; column += kColumns) {
    const std::int64_t columns = std::min(kColumns, width - column);
    for (std::int64_t row = 0; row < count; ++row)
      add_values(to + rows[row] * width + column, from + row * width + column, columns);
  }
}

}  // namespace dlm
