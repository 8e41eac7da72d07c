#include "models/transformer/attention.h"

#include <limits>
#include <numeric>
#include <optional>
#include <utility>

#include <ATen/ops/empty.h>
#include <ATen/ops/full.h>
#include <ATen/ops/scaled_dot_product_attention.h>

#include "harness/base/error.h"
#include "models/transformer/prefix_attention.h"

namespace dlm {

namespace {

constexpr std::int64_t kFewestRows = 64;  // below, packing keys costs what the loops save

bool by_own_loops(const at::Tensor& q, const AttentionMask& mask) {
  return mask.mode == AttentionMode::kCausal && q.size(2) >= kFewestRows && !q.requires_grad() &&
         prefix_attention_works(q.device(), q.scalar_type());
}

at::Tensor attend_causal(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                         double scale) {
  const std::int64_t length = q.size(2);
  PrefixRows rows;
  rows.visible.resize(static_cast<std::size_t>(length));
  std::iota(rows.visible.begin(), rows.visible.end(), 1);
  const PrefixAttention attention(std::move(rows));
  PrefixScratch scratch;
  at::Tensor out = at::empty({q.size(0), length, q.size(1) * q.size(3)}, q.options());
  for (std::int64_t b = 0; b < q.size(0); ++b) {
    const auto by_row = [&](const at::Tensor& x) { return x.select(0, b).transpose(0, 1); };
    attention.attend({by_row(q), by_row(k), by_row(v), {}, {}}, scale, scratch, out.select(0, b));
  }
  return out;
}

}  // namespace

at::Tensor attend(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                  const AttentionMask& mask, double scale) {
  const bool causal = mask.mode == AttentionMode::kCausal;
  DLM_CHECK(!causal || q.size(2) == k.size(2), "causal attention of {} queries over {} keys",
            q.size(2), k.size(2));
  if (by_own_loops(q, mask))
    return attend_causal(q, k, v, scale);
  const auto bias = mask.mode == AttentionMode::kBias ? std::optional<at::Tensor>(mask.bias)
                                                      : std::optional<at::Tensor>();
  const bool grouped = q.size(1) != k.size(1);
  const at::Tensor out =
      at::scaled_dot_product_attention(q, k, v, bias, 0.0, causal, scale, grouped);
  // The kernel stores (B, L, H, D), so this is a view.
  return out.transpose(1, 2).reshape({q.size(0), q.size(2), q.size(1) * q.size(3)});
}

at::Tensor causal_bias(std::int64_t past, std::int64_t queries, const at::TensorOptions& options) {
  return at::full({1, 1, queries, past + queries}, -std::numeric_limits<double>::infinity(),
                  options)
      .triu_(past + 1);
}

}  // namespace dlm
