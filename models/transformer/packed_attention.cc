#include "models/transformer/packed_attention.h"

#include <algorithm>
#include <limits>

#include <ATen/ops/empty.h>
#include <ATen/ops/zeros.h>

#include "harness/base/error.h"

namespace dlm {
namespace {

AttentionMask mask_of(const PackedRow& row, Visibility visibility,
                      const at::TensorOptions& options) {
  if (visibility == Visibility::kBidirectional)
    return {AttentionMode::kFull, {}};
  if (row.start == 0)
    return {AttentionMode::kCausal, {}};
  if (row.length == 1)
    return {AttentionMode::kFull, {}};
  return {AttentionMode::kBias, causal_bias(row.start, row.length, options)};
}

// One query per row; row b sees its own keys of the `longest`.
AttentionMask ragged_mask(const PackedRows& rows, const at::TensorOptions& options) {
  at::Tensor bias = at::zeros({rows.batch, 1, 1, rows.longest}, options);
  for (const PackedRow& row : rows.rows) {
    const std::int64_t visible = row.keys();
    bias.select(0, row.row)
        .narrow(-1, visible, rows.longest - visible)
        .fill_(-std::numeric_limits<double>::infinity());
  }
  return {AttentionMode::kBias, bias};
}

// More new tokens than this are worth libtorch's larger products.
constexpr std::int64_t kFewTokens = 48;

// A rule of the row alone, so that it is computed alike in any batch.
bool goes_by_cached_loops(const PackedRow& row) {
  return row.keys() > row.length && row.length <= kFewTokens;
}

std::vector<CachedQueries> cached_queries(const PackedRows& rows) {
  std::vector<CachedQueries> out;
  for (const PackedRow& row : rows.rows) {
    if (!goes_by_cached_loops(row))
      continue;
    CachedQueries& entry = out.emplace_back(CachedQueries{row.row, 0, row.offset, {}});
    for (std::int64_t i = 0; i < row.length; ++i) {
      const bool causal = rows.visibility == Visibility::kCausal;
      entry.visible.push_back(static_cast<std::int32_t>(causal ? row.start + i + 1 : row.keys()));
    }
  }
  return out;
}

// (N, heads, D) of equally long rows -> (B, heads, L, D), a view.
at::Tensor as_batch(const at::Tensor& x, std::int64_t batch) {
  return x.view({batch, x.size(0) / batch, x.size(1), x.size(2)}).transpose(1, 2);
}

}  // namespace

AttentionPlan plan_attention(const PackedRows& rows, const at::TensorOptions& options) {
  AttentionPlan plan;
  plan.from_cache = std::any_of(rows.rows.begin(), rows.rows.end(),
                                [](const PackedRow& row) { return row.keys() > row.length; });
  if (plan.from_cache && cached_attention_works(options.device(), options.dtype().toScalarType()))
    plan.cached = cached_queries(rows);
  if (!plan.cached.empty()) {
    for (const PackedRow& row : rows.rows)
      plan.masks.push_back(goes_by_cached_loops(row) ? AttentionMask{}
                                                     : mask_of(row, rows.visibility, options));
    return plan;
  }
  if (rows.uniform()) {
    plan.one_call = true;
    plan.masks.push_back(mask_of(rows.rows.front(), rows.visibility, options));
    return plan;
  }
  const bool single_tokens =
      rows.tokens == rows.batch && static_cast<std::int64_t>(rows.rows.size()) == rows.batch;
  if (single_tokens) {
    plan.one_call = true;
    plan.masks.push_back(ragged_mask(rows, options));
    return plan;
  }
  for (const PackedRow& row : rows.rows)
    plan.masks.push_back(mask_of(row, rows.visibility, options));
  return plan;
}

at::Tensor attend_packed(const PackedQkv& qkv, const PackedRows& rows, const AttentionPlan& plan,
                         const CachedKeys& cache, double scale) {
  if (plan.one_call) {
    const at::Tensor q = as_batch(qkv.q, rows.batch);
    const at::Tensor k =
        plan.from_cache ? cache.keys.narrow(2, 0, rows.longest) : as_batch(qkv.k, rows.batch);
    const at::Tensor v =
        plan.from_cache ? cache.values.narrow(2, 0, rows.longest) : as_batch(qkv.v, rows.batch);
    return attend(q, k, v, plan.masks.front(), scale).view({rows.tokens, -1});
  }
  at::Tensor out = plan.cached.empty()
                       ? at::empty({rows.tokens, qkv.q.size(1) * qkv.q.size(2)}, qkv.q.options())
                       : attend_cached({qkv.q, cache.keys, cache.values}, plan.cached, scale);
  for (std::size_t i = 0; i < rows.rows.size(); ++i) {
    const PackedRow& row = rows.rows[i];
    if (!plan.cached.empty() && goes_by_cached_loops(row))
      continue;
    const auto own = [&](const at::Tensor& x) {
      return as_batch(x.narrow(0, row.offset, row.length), 1);
    };
    const auto cached = [&](const at::Tensor& x) {
      return x.narrow(0, row.row, 1).narrow(2, 0, row.keys());
    };
    const bool from_cache = row.keys() > row.length;
    const at::Tensor k = from_cache ? cached(cache.keys) : own(qkv.k);
    const at::Tensor v = from_cache ? cached(cache.values) : own(qkv.v);
    out.narrow(0, row.offset, row.length)
        .copy_(attend(own(qkv.q), k, v, plan.masks[i], scale).squeeze(0));
  }
  return out;
}

double visible_pairs(const PackedRows& rows) {
  double pairs = 0;
  for (const PackedRow& row : rows.rows) {
    const auto length = static_cast<double>(row.length);
    if (rows.visibility == Visibility::kBidirectional) {
      pairs += length * static_cast<double>(row.keys());
      continue;
    }
    pairs += length * static_cast<double>(row.start) + length * (length + 1) / 2;
  }
  return pairs;
}

}  // namespace dlm
