#include "models/training/layer.h"

#include <utility>

#include <ATen/ops/addmm.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/index_select.h>
#include <ATen/ops/mm.h>
#include <ATen/ops/sum.h>
#include <ATen/ops/zeros.h>

namespace dlm {
namespace {

at::ScalarType product_dtype(const TrainShape& shape) {
  return shape.brain ? at::kBFloat16 : at::kFloat;
}

at::Tensor selected(const at::Tensor& x, const RowSet& rows) {
  return rows.index.defined() ? x.index_select(0, rows.index) : x;
}

// Rows [begin, begin + count) and a run of columns.
at::Tensor part(const at::Tensor& x, std::int64_t begin, std::int64_t count, std::int64_t column,
                std::int64_t columns) {
  if (!x.defined())
    return {};
  return x.narrow(0, begin, count).narrow(1, column, columns);
}

// A pass's keys and values, (N, 2 D) each row, as attention takes them; clean ones from `clean_kv`
// where it is defined.
AttentionTensors attention_tensors(const Pass& pass, const at::Tensor& q, const at::Tensor& kv,
                                   const at::Tensor& clean_kv) {
  const std::int64_t width = kv.size(1) / 2;
  const bool own = !clean_kv.defined();
  const at::Tensor& clean = own ? kv : clean_kv;
  const std::int64_t first = own ? pass.noisy_rows : 0;
  const std::int64_t count = own ? pass.clean_rows : clean.size(0);
  return {q, part(kv, 0, pass.noisy_rows, 0, width), part(kv, 0, pass.noisy_rows, width, width),
          part(clean, first, count, 0, width), part(clean, first, count, width, width)};
}

Dropout dropout_at(const Dropout& dropout, std::uint64_t which) {
  Dropout out = dropout;
  out.place += which;
  return out;
}

GateParts gate_parts(const LayerState& state, const Dropout& dropout, bool mlp) {
  const std::vector<at::Tensor>& parts = state.parts;
  return {parts.empty() ? at::Tensor() : parts[mlp ? 5 : 2], mlp ? state.keep2 : state.keep1,
          dropout.kept_scale()};
}

void make_qkv(const LayerPlace& place, const LayerTensors& weights, const at::Tensor& h,
              LayerState& state) {
  const std::int64_t width = h.size(1);
  if (!place.rows.index.defined()) {
    const at::Tensor all = product(h, weights.qkv, {});
    state.q = all.narrow(1, 0, width);
    state.kv = all.narrow(1, width, 2 * width);
    return;
  }
  state.q = product(selected(h, place.rows), weights.qkv.narrow(0, 0, width), {});
  state.kv = product(h, weights.qkv.narrow(0, width, 2 * width), {});
}

// d h of the projections to queries, keys and values.
at::Tensor qkv_backward(const LayerPlace& place, const LayerTensors& weights,
                        const LayerTensors& sums, const at::Tensor& h, const at::Tensor& d_q,
                        const at::Tensor& d_kv, const at::Tensor& d_all) {
  const std::int64_t width = h.size(1);
  if (d_all.defined()) {
    add_weight_gradient(sums.qkv, d_all, h);
    return d_all.mm(weights.qkv);
  }
  add_weight_gradient(sums.qkv.narrow(0, width, 2 * width), d_kv, h);
  at::Tensor d_h = d_kv.mm(weights.qkv.narrow(0, width, 2 * width));
  if (d_q.size(0) > 0) {
    add_weight_gradient(sums.qkv.narrow(0, 0, width), d_q, selected(h, place.rows));
    d_h.index_add_(0, place.rows.index, d_q.mm(weights.qkv.narrow(0, 0, width)));
  }
  return d_h;
}

// d middle (M, D) f32, in place of d_out.
void mlp_backward(const LayerPlace& place, const LayerTensors& weights, const at::Tensor& d_out,
                  const LayerState& state, const LayerTensors& sums,
                  std::vector<at::Tensor>& d_parts) {
  const std::vector<RowRun>& runs = place.rows.runs;
  const GateGradients gate =
      gate_backward(runs, d_out, state.y2, gate_parts(state, place.dropout, true));
  if (!d_parts.empty())
    d_parts[5] = gate.gate;
  at::Tensor d_up = gate.y.mm(weights.down.weight);
  const at::Tensor inner = gelu_backward(state.up, d_up);
  add_weight_gradient(sums.down.weight, gate.y, inner);
  add_bias_gradient(sums.down.bias, gate.y);
  const NormVectors vectors = norm_vectors(weights.norm2, state.parts, 3);
  at::Tensor stats = state.stats2;
  const at::Tensor h = norm_forward(runs, state.middle, vectors, d_up.scalar_type(), stats);
  add_weight_gradient(sums.up.weight, d_up, h);
  add_bias_gradient(sums.up.bias, d_up);
  const NormGradients norm =
      norm_backward(runs, state.middle, stats, vectors, d_up.mm(weights.up.weight), d_out);
  norm_vectors_backward(weights.norm2, sums.norm2, state.parts, norm, 3, d_parts);
}

struct HeadGradients {
  at::Tensor all;    // (N, 3 D) where every row is a query
  at::Tensor q, kv;  // (M, D), (N, 2 D)
};

HeadGradients empty_gradients(const LayerState& state, bool every_row) {
  const std::int64_t width = state.q.size(1);
  HeadGradients d;
  if (every_row) {
    d.all = at::empty({state.kv.size(0), 3 * width}, state.kv.options());
    d.q = d.all.narrow(1, 0, width);
    d.kv = d.all.narrow(1, width, 2 * width);
  } else {
    d.q = at::empty({state.q.size(0), width}, state.q.options());
    d.kv = at::empty({state.kv.size(0), 2 * width}, state.kv.options());
  }
  return d;
}

// Back through the projection and attention; d_middle is left as it is.
HeadGradients mix_backward(const LayerPlace& place, const LayerTensors& weights,
                           const at::Tensor& d_middle, const LayerState* clean,
                           const LayerState& state, LayerGradients& gradients,
                           std::vector<at::Tensor>& d_parts) {
  HeadGradients d = empty_gradients(state, !place.rows.index.defined());
  const bool given = clean == nullptr && gradients.clean_kv.defined();
  if (given)
    d.kv.copy_(gradients.clean_kv);
  if (place.rows.rows() == 0)
    return d;
  const GateGradients gate =
      gate_backward(place.rows.runs, d_middle, state.y1, gate_parts(state, place.dropout, false));
  if (!d_parts.empty())
    d_parts[2] = gate.gate;
  add_weight_gradient(gradients.sums.out, gate.y, state.attention.out);
  const at::Tensor d_mixed = gate.y.mm(weights.out);
  const AttentionPlace where = {place.pass, place.rows, place.angles, place.shape.heads};
  const at::Tensor clean_kv = clean == nullptr ? at::Tensor() : clean->kv;
  if (clean != nullptr)
    gradients.clean_kv = at::empty_like(clean_kv, at::MemoryFormat::Contiguous);
  attention_backward(where, attention_tensors(place.pass, state.q, state.kv, clean_kv),
                     state.attention, d_mixed,
                     attention_tensors(place.pass, d.q, d.kv,
                                       clean == nullptr ? at::Tensor() : gradients.clean_kv),
                     given);
  return d;
}

}  // namespace

at::Tensor product(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias) {
  if (bias.defined())
    return at::addmm(bias.to(x.scalar_type()), x, weight.t());
  return at::mm(x, weight.t());
}

void add_weight_gradient(const at::Tensor& gradient, const at::Tensor& d, const at::Tensor& x) {
  if (d.scalar_type() == at::kFloat)
    gradient.addmm_(d.t(), x);
  else
    gradient.add_(at::mm(d.t(), x));
}

void add_bias_gradient(const at::Tensor& gradient, const at::Tensor& d) {
  gradient.add_(at::sum(d, {0}, false, at::kFloat));
}

at::Tensor layer_forward(const LayerPlace& place, const LayerTensors& weights,
                         const Condition& condition, const at::Tensor& x, const LayerState* clean,
                         LayerState& state) {
  const at::ScalarType dtype = product_dtype(place.shape);
  const std::int64_t width = place.shape.width;
  const std::vector<RowRun>& runs = place.rows.runs;
  state.x = x;
  state.parts = modulation_parts(weights.modulation, condition, width);
  const at::Tensor h = norm_forward(
      place.pass.all.runs, x, norm_vectors(weights.norm1, state.parts, 0), dtype, state.stats1);
  make_qkv(place, weights, h, state);
  if (place.rows.rows() == 0)
    return {};
  const AttentionPlace where = {place.pass, place.rows, place.angles, place.shape.heads};
  state.attention =
      attention_forward(where, attention_tensors(place.pass, state.q, state.kv,
                                                 clean == nullptr ? at::Tensor() : clean->kv));
  state.y1 = product(state.attention.out, weights.out, {});
  state.keep1 = draw_keep_mask(dropout_at(place.dropout, 0), place.rows, width);
  state.middle = gate_forward(runs, selected(x, place.rows), state.y1,
                              gate_parts(state, place.dropout, false));
  const at::Tensor h2 = norm_forward(
      runs, state.middle, norm_vectors(weights.norm2, state.parts, 3), dtype, state.stats2);
  state.up = product(h2, weights.up.weight, weights.up.bias);
  state.y2 = product(gelu_forward(state.up), weights.down.weight, weights.down.bias);
  state.keep2 = draw_keep_mask(dropout_at(place.dropout, 1), place.rows, width);
  return gate_forward(runs, state.middle, state.y2, gate_parts(state, place.dropout, true));
}

at::Tensor layer_backward(const LayerPlace& place, const LayerTensors& weights,
                          Condition& condition, const at::Tensor& d_out, const LayerState* clean,
                          const LayerState& state, LayerGradients& gradients) {
  const LayerTensors& sums = gradients.sums;
  std::vector<at::Tensor> d_parts;
  for (const at::Tensor& values : state.parts)
    d_parts.push_back(at::zeros(values.sizes(), at::kFloat));
  const bool goes_on = place.rows.rows() > 0;
  if (goes_on)
    mlp_backward(place, weights, d_out, state, sums, d_parts);
  const HeadGradients d = mix_backward(place, weights, d_out, clean, state, gradients, d_parts);
  const NormVectors vectors = norm_vectors(weights.norm1, state.parts, 0);
  const std::vector<RowRun>& runs = place.pass.all.runs;
  at::Tensor stats = state.stats1;
  const at::Tensor h = norm_forward(runs, state.x, vectors, d.kv.scalar_type(), stats);
  const at::Tensor d_h = qkv_backward(place, weights, sums, h, d.q, d.kv, d.all);
  at::Tensor d_x = d_out;
  if (place.rows.index.defined()) {
    d_x = at::zeros(state.x.sizes(), at::kFloat);
    if (goes_on)
      d_x.index_copy_(0, place.rows.index, d_out);
  }
  const NormGradients norm = norm_backward(runs, state.x, stats, vectors, d_h, d_x);
  norm_vectors_backward(weights.norm1, sums.norm1, state.parts, norm, 0, d_parts);
  modulation_backward(weights.modulation, sums.modulation, condition, d_parts);
  return d_x;
}

}  // namespace dlm
