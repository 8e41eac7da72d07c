#include "models/diffusion_transformer/dit_head.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include <ATen/ops/log_softmax.h>

#include "harness/base/error.h"
#include "models/transformer/packed_rows.h"

namespace dlm {
namespace {

constexpr std::int64_t kLogitsBytes = std::int64_t{24} << 20;  // of a chunk, as in scoring.cc
constexpr std::int64_t kFewestRows = 16;
constexpr std::int64_t kMostRows = 1024;
constexpr double kMinusInfinity = -1e6;  // what the published code takes for it

void append_rows(const at::Tensor& logits, const at::Tensor& targets, std::int64_t mask_id,
                 std::vector<RowLogits>& out) {
  const at::Tensor target = logits.gather(1, targets.unsqueeze(1)).cpu();
  logits.select(1, mask_id).fill_(-std::numeric_limits<double>::infinity());
  const at::Tensor top = logits.amax(1, true);
  const at::Tensor sum = logits.sub_(top).exp_().sum(1).cpu();
  const at::Tensor top_host = top.cpu();
  const float* targets_at = target.const_data_ptr<float>();
  const float* tops_at = top_host.const_data_ptr<float>();
  const float* sums_at = sum.const_data_ptr<float>();
  for (std::int64_t row = 0; row < logits.size(0); ++row) {
    out.push_back({std::log(static_cast<double>(sums_at[row])) + static_cast<double>(tops_at[row]),
                   static_cast<double>(targets_at[row])});
  }
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
  const std::int64_t row_bytes = dit.config.shape.vocab_size * std::int64_t{sizeof(float)};
  const std::int64_t chunk = std::clamp(kLogitsBytes / row_bytes, kFewestRows, kMostRows);
  const at::Tensor wanted = index_tensor(targets, rows.device());
  std::vector<RowLogits> out;
  out.reserve(targets.size());
  for (std::int64_t begin = 0; begin < count; begin += chunk) {
    const std::int64_t size = std::min(chunk, count - begin);
    append_rows(head_logits(dit, rows.narrow(0, begin, size)), wanted.narrow(0, begin, size),
                dit.config.mask_id, out);
  }
  return out;
}

at::Tensor head_logits(const Dit& dit, const at::Tensor& rows) {
  return linear(dit.decoder.head, rows).to(at::kFloat);
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
