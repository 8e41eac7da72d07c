#include "models/transformer/attention.h"

#include <limits>
#include <optional>

#include <ATen/ops/full.h>
#include <ATen/ops/scaled_dot_product_attention.h>

#include "harness/base/error.h"

namespace dlm {

at::Tensor attend(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                  const AttentionMask& mask, double scale) {
  const bool causal = mask.mode == AttentionMode::kCausal;
  DLM_CHECK(!causal || q.size(2) == k.size(2), "causal attention of {} queries over {} keys",
            q.size(2), k.size(2));
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
