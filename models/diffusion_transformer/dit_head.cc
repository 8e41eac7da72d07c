#include "models/diffusion_transformer/dit_head.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include <ATen/ops/empty.h>
#include <ATen/ops/log_softmax.h>

#include "harness/base/error.h"
#include "models/transformer/packed_rows.h"
#include "models/transformer/row_kernels.h"

namespace dlm {
namespace {

constexpr std::int64_t kRowsPerChunk = 512;
constexpr double kMinusInfinity = -1e6;  // what the published code takes for it

// The logits of some rows in a run of columns that begins at `begin`.
struct RunLogits {
  at::Tensor values;  // (M, columns), the head's dtype; may be written to
  std::int64_t begin = 0;

  bool holds(std::int64_t column) const {
    return column >= begin && column < begin + values.size(1);
  }
};

void take_targets(const RunLogits& run, std::span<const std::int64_t> targets,
                  std::span<RowLogits> out) {
  std::vector<std::size_t> rows;
  std::vector<std::int64_t> places;
  for (std::size_t row = 0; row < targets.size(); ++row) {
    if (!run.holds(targets[row]))
      continue;
    rows.push_back(row);
    places.push_back(static_cast<std::int64_t>(row) * run.values.size(1) + targets[row] -
                     run.begin);
  }
  if (rows.empty())
    return;
  const at::Tensor taken = run.values.view({-1})
                               .index_select(0, index_tensor(places, run.values.device()))
                               .to(at::kCPU, at::kFloat);
  const float* values = taken.const_data_ptr<float>();
  for (std::size_t i = 0; i < rows.size(); ++i)
    out[rows[i]].target = static_cast<double>(values[i]);
}

// Adds a run to the running sums of its rows, by one loop over each row.
void add_fused(const at::Tensor& logits, std::vector<LogSum>& sums) {
  const bool brain = logits.scalar_type() == at::kBFloat16;
  const auto* data = static_cast<const char*>(logits.const_data_ptr());
  const std::int64_t columns = logits.size(1);
  const auto row_bytes = logits.stride(0) * logits.element_size();
#pragma omp parallel for schedule(static)
  for (std::int64_t row = 0; row < logits.size(0); ++row) {
    add_part({data + row * row_bytes, columns, brain}, sums[static_cast<std::size_t>(row)]);
  }
}

// The same by libtorch.
void add_apart(const at::Tensor& logits, std::vector<LogSum>& sums) {
  const at::Tensor wide = logits.to(at::kFloat);
  const at::Tensor top = wide.amax(1, true);
  const at::Tensor total = wide.sub(top).exp_().sum(1).cpu();
  const at::Tensor top_host = top.cpu();
  for (std::size_t row = 0; row < sums.size(); ++row) {
    const float high = top_host.const_data_ptr<float>()[row];
    LogSum& sum = sums[row];
    const float common = std::max(high, sum.top);
    const auto scaled = [&](double value, float from) {
      return value * std::exp(static_cast<double>(from) - static_cast<double>(common));
    };
    sum.total = scaled(sum.total, sum.top) +
                scaled(static_cast<double>(total.const_data_ptr<float>()[row]), high);
    sum.top = common;
  }
}

void add_run(const at::Tensor& logits, std::vector<LogSum>& sums) {
  const at::ScalarType dtype = logits.scalar_type();
  const bool fused = logits.is_cpu() && (dtype == at::kFloat || dtype == at::kBFloat16) &&
                     logits.stride(1) == 1 && vector_kernels_work();
  if (fused)
    add_fused(logits, sums);
  else
    add_apart(logits, sums);
}

void chunk_logits(const Dit& dit, const at::Tensor& rows, std::span<const std::int64_t> targets,
                  std::span<RowLogits> out) {
  std::vector<LogSum> sums(targets.size());
  const std::int64_t mask = dit.config.mask_id;
  RunLogits run;
  for (const Linear& head : dit.head) {
    run.values = linear(head, rows);
    take_targets(run, targets, out);
    if (run.holds(mask))
      run.values.select(1, mask - run.begin).fill_(-std::numeric_limits<double>::infinity());
    add_run(run.values, sums);
    run.begin += head.outputs;
  }
  for (std::size_t row = 0; row < sums.size(); ++row)
    out[row].log_sum = std::log(sums[row].total) + static_cast<double>(sums[row].top);
}

// What a log-score has subtracted from the output.
double score_offset(const DitConfig& config, double sigma) {
  if (!config.scale_by_sigma)
    return 0;
  return std::log(std::expm1(sigma)) + std::log(static_cast<double>(config.shape.vocab_size - 1));
}

}  // namespace

std::vector<RowLogits> row_logits(const Dit& dit, const at::Tensor& rows,
                                  std::span<const std::int64_t> targets) {
  const std::int64_t count = rows.size(0);
  DLM_CHECK(std::ssize(targets) == count, "{} targets for {} rows", targets.size(), count);
  std::vector<RowLogits> out(targets.size());
  for (std::int64_t begin = 0; begin < count; begin += kRowsPerChunk) {
    const std::int64_t size = std::min(kRowsPerChunk, count - begin);
    const auto first = static_cast<std::size_t>(begin);
    const auto length = static_cast<std::size_t>(size);
    chunk_logits(dit, rows.narrow(0, begin, size), targets.subspan(first, length),
                 std::span(out).subspan(first, length));
  }
  return out;
}

at::Tensor head_logits(const Dit& dit, const at::Tensor& rows) {
  at::Tensor out =
      at::empty({rows.size(0), dit.config.shape.vocab_size}, rows.options().dtype(at::kFloat));
  std::int64_t begin = 0;
  for (const Linear& head : dit.head) {
    out.narrow(1, begin, head.outputs).copy_(linear(head, rows));
    begin += head.outputs;
  }
  return out;
}

double subs_term(const RowLogits& row) {
  return row.log_sum - row.target;
}

double sedd_term(const DitConfig& config, const RowLogits& row, const NoiseLevel& level) {
  const double ratio = 1 / std::expm1(level.sigma);
  const double offset = score_offset(config, level.sigma);
  const double scores = std::exp(row.log_sum - offset);
  const double entropy = scores - ratio * (row.target - offset) + ratio * (std::log(ratio) - 1);
  return level.rate * entropy;
}

at::Tensor subs_log_probs(const DitConfig& config, const at::Tensor& logits,
                          const at::Tensor& x_t) {
  at::Tensor out = logits.clone();
  out.select(2, config.mask_id).add_(kMinusInfinity);
  out = at::log_softmax(out, 2);
  const at::Tensor known = x_t.ne(config.mask_id).unsqueeze(2);
  out.masked_fill_(known, kMinusInfinity);
  const at::Tensor own = out.gather(2, x_t.unsqueeze(2));
  return out.scatter_(2, x_t.unsqueeze(2), own.masked_fill(known, 0));
}

at::Tensor sedd_log_scores(const DitConfig& config, const at::Tensor& logits, const at::Tensor& x_t,
                           std::span<const double> sigma) {
  DLM_CHECK(std::ssize(sigma) == logits.size(0), "{} sigmas for {} sequences", sigma.size(),
            logits.size(0));
  at::Tensor out = logits.clone();
  for (std::int64_t b = 0; b < out.size(0); ++b)
    out.select(0, b).sub_(score_offset(config, sigma[static_cast<std::size_t>(b)]));
  return out.scatter_(2, x_t.unsqueeze(2), 0);
}

}  // namespace dlm
