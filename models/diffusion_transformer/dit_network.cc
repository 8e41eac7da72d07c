#include "models/diffusion_transformer/dit_network.h"

#include <cmath>
#include <utility>

#include <ATen/ops/arange.h>
#include <ATen/ops/linear.h>

#include "harness/base/error.h"
#include "models/transformer/attention.h"
#include "models/transformer/prefix_attention.h"

namespace dlm {
namespace {

// x (N, D), fresh: x * (1 + scale) + shift in place, or x itself where that is folded.
at::Tensor shifted(at::Tensor x, const at::Tensor& shift, const at::Tensor& scale) {
  if (!shift.defined())
    return x;
  return x.addcmul_(x, scale).add_(shift);
}

const DecoderBlock& block_of(const Dit& dit, std::int64_t layer) {
  return dit.decoder.blocks.at(static_cast<std::size_t>(layer));
}

}  // namespace

RowCondition row_condition(const Dit& dit, std::span<const double> sigma, std::int64_t span) {
  if (!dit.sigma_map)
    return {};
  const auto groups = static_cast<std::int64_t>(sigma.size());
  const at::Tensor group_of = at::arange(groups, at::kLong).repeat_interleave(span);
  return {sigma_condition(*dit.sigma_map, sigma), group_of.to(dit.decoder.compute.device)};
}

RowCondition select_rows(const RowCondition& condition, const at::Tensor& rows) {
  if (condition.constant())
    return {};
  return {condition.levels, condition.group_of.index_select(0, rows)};
}

RowModulation row_modulation(const Dit& dit, std::int64_t layer, const RowCondition& condition) {
  if (condition.constant())
    return {};
  const Modulation& modulation = dit.modulations.at(static_cast<std::size_t>(layer));
  const at::Tensor all = at::linear(condition.levels, modulation.weight, modulation.bias)
                             .to(dit.decoder.compute.dtype)
                             .index_select(0, condition.group_of);
  const std::int64_t width = dit.config.shape.width;
  const auto part = [&](std::int64_t index) { return all.narrow(1, index * width, width); };
  if (layer == dit.config.shape.layers)
    return {part(0), part(1), {}, {}, {}, {}};
  return {part(0), part(1), part(2), part(3), part(4), part(5)};
}

at::Tensor attention_input(const Dit& dit, std::int64_t layer, const at::Tensor& x,
                           const RowModulation& rows) {
  return shifted(normalise(block_of(dit, layer).attention_norm, x), rows.shift, rows.scale);
}

at::Tensor finish_block(const Dit& dit, std::int64_t layer, const at::Tensor& x,
                        const at::Tensor& mixed, const RowModulation& rows) {
  const DecoderBlock& block = block_of(dit, layer);
  if (!rows.gate.defined()) {
    const at::Tensor middle = linear_plus(block.attention_out, mixed, x);
    return mlp_plus(block.mlp, normalise(block.mlp_norm, middle), middle);
  }
  const at::Tensor middle = linear(block.attention_out, mixed).mul_(rows.gate).add_(x);
  const at::Tensor in = shifted(normalise(block.mlp_norm, middle), rows.mlp_shift, rows.mlp_scale);
  const at::Tensor inner = linear_activated(block.mlp.up, in, block.mlp.activation);
  return linear(block.mlp.down, inner).mul_(rows.mlp_gate).add_(middle);
}

at::Tensor final_rows(const Dit& dit, const at::Tensor& x, const RowCondition& condition) {
  const RowModulation end = row_modulation(dit, dit.config.shape.layers, condition);
  return shifted(normalise(dit.decoder.final_norm, x), end.shift, end.scale);
}

HeadTensors split_qkv(const DecoderShape& shape, const at::Tensor& fused,
                      const RotaryRows& rotary) {
  const at::Tensor all = fused.view({fused.size(0), 3 * shape.heads, shape.head_dim});
  rotate_in_place(all.narrow(1, 0, 2 * shape.heads), rotary);
  return {all.narrow(1, 0, shape.heads), all.narrow(1, shape.heads, shape.heads),
          all.narrow(1, 2 * shape.heads, shape.heads)};
}

HeadTensors split_kv(const DecoderShape& shape, const at::Tensor& fused, const RotaryRows& rotary) {
  const at::Tensor all = fused.view({fused.size(0), 2 * shape.heads, shape.head_dim});
  rotate_in_place(all.narrow(1, 0, shape.heads), rotary);
  return {at::Tensor(), all.narrow(1, 0, shape.heads), all.narrow(1, shape.heads, shape.heads)};
}

bool uses_own_loops(const Compute& compute) {
  return compute.backend != LinearBackend::kAten &&
         prefix_attention_works(compute.device, compute.dtype);
}

double attention_scale(const DecoderShape& shape) {
  return 1 / std::sqrt(static_cast<double>(shape.head_dim));
}

at::Tensor attend_all(const Dit& dit, const HeadTensors& heads, const at::Tensor& bias) {
  const double scale = attention_scale(dit.config.shape);
  const AttentionMode mode = bias.defined() ? AttentionMode::kBias : AttentionMode::kFull;
  return attend(heads.q, heads.k, heads.v, {mode, bias}, scale);
}

double qkv_flops(const DecoderShape& shape) {
  const auto width = static_cast<double>(shape.width);
  return 2 * 3 * width * width;
}

double rest_flops(const DecoderShape& shape) {
  const auto width = static_cast<double>(shape.width);
  return 2 * (width * width + 2 * width * static_cast<double>(shape.inner));
}

double pair_flops(const DecoderShape& shape) {
  return 2 * 2 * static_cast<double>(shape.width);
}

}  // namespace dlm
