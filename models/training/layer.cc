#include "models/training/layer.h"

#include <utility>

#include <ATen/ops/empty.h>
#include <ATen/ops/index_select.h>
#include <ATen/ops/zeros.h>

#include "models/training/products.h"

namespace dlm {
namespace {

at::ScalarType product_dtype(const TrainShape& shape) {
  return shape.brain ? at::kBFloat16 : at::kFloat;
}

at::Tensor selected(const at::Tensor& x, const RowSet& rows) {
  return rows.index.defined() ? x.index_select(0, rows.index) : x;
}

// A pass's keys and values, (N, 2 D) each row, as attention takes them; clean ones from `clean_kv`
// where it is defined.
AttentionTensors attention_tensors(const Pass& pass, const at::Tensor& q, const at::Tensor& kv,
                                   const at::Tensor& clean_kv) {
  const std::int64_t width = kv.size(1) / 2;
  const at::Tensor noisy = kv.narrow(0, 0, pass.noisy_rows);
  const at::Tensor clean =
      clean_kv.defined() ? clean_kv : kv.narrow(0, pass.noisy_rows, pass.clean_rows);
  return {q, noisy.narrow(1, 0, width), noisy.narrow(1, width, width), clean.narrow(1, 0, width),
          clean.narrow(1, width, width)};
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

void make_qkv(const LayerPlace& place, const at::Tensor& h, LayerState& state) {
  const LayerTensors& weights = place.weights;
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

struct QkvGradients {
  at::Tensor all;    // (N, 3 D) where every row is a query
  at::Tensor q, kv;  // (M, D), (N, 2 D)
};

QkvGradients empty_gradients(const LayerState& state, bool every_row) {
  const std::int64_t width = state.q.size(1);
  QkvGradients d;
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

at::Tensor clean_kv_of(const LayerPlace& place) {
  return place.clean == nullptr ? at::Tensor() : place.clean->kv;
}

// One layer's way back; d_out becomes the gradient of what the norms read, part by part.
class LayerBackward {
 public:
  LayerBackward(const LayerPlace& place, const LayerState& state, LayerGradients& gradients)
      : place_(place), weights_(place.weights), state_(state), gradients_(gradients) {
    for (const at::Tensor& values : state.parts)
      d_parts_.push_back(at::zeros(values.sizes(), at::kFloat));
  }

  // d_out -> d middle, in place.
  void mlp(const at::Tensor& d_out) {
    const LayerTensors& sums = gradients_.sums;
    const std::vector<RowRun>& runs = place_.rows.runs;
    const GateGradients gate =
        gate_backward(runs, d_out, state_.y2, gate_parts(state_, place_.dropout, true));
    if (!d_parts_.empty())
      d_parts_[5] = gate.gate;
    const at::Tensor d_up = product_backward(gate.y, weights_.down.weight);
    const at::Tensor inner = gelu_backward(state_.up, d_up);
    add_weight_gradient(sums.down.weight, gate.y, inner);
    add_bias_gradient(sums.down.bias, gate.y);
    const ModulatedNorm norm = {weights_.norm2, state_.parts, 3};
    const NormCall call = {runs, state_.middle, norm_vectors(norm)};
    at::Tensor stats = state_.stats2;
    add_weight_gradient(sums.up.weight, d_up, norm_forward(call, d_up.scalar_type(), stats));
    add_bias_gradient(sums.up.bias, d_up);
    const NormGradients d =
        norm_backward(call, stats, product_backward(d_up, weights_.up.weight), d_out);
    norm_vectors_backward(norm, d, sums.norm2, d_parts_);
  }

  // Through the projection and attention; d_middle is left as it is.
  QkvGradients mix(const at::Tensor& d_middle) {
    QkvGradients d = empty_gradients(state_, !place_.rows.index.defined());
    const bool given = place_.clean == nullptr && gradients_.clean_kv.defined();
    if (given)
      d.kv.copy_(gradients_.clean_kv);
    if (place_.rows.rows() == 0)
      return d;
    const GateGradients gate = gate_backward(place_.rows.runs, d_middle, state_.y1,
                                             gate_parts(state_, place_.dropout, false));
    if (!d_parts_.empty())
      d_parts_[2] = gate.gate;
    add_weight_gradient(gradients_.sums.out, gate.y, state_.attention.out);
    at::Tensor d_clean;
    if (place_.clean != nullptr) {
      d_clean = at::empty(place_.clean->kv.sizes(), state_.kv.options());
      gradients_.clean_kv = d_clean;
    }
    const AttentionPlace where = {place_.pass, place_.rows, place_.angles, place_.shape.heads};
    attention_backward(where,
                       attention_tensors(place_.pass, state_.q, state_.kv, clean_kv_of(place_)),
                       state_.attention,
                       {product_backward(gate.y, weights_.out),
                        attention_tensors(place_.pass, d.q, d.kv, d_clean), given});
    return d;
  }

  // Through the projections to queries, keys and values and the norm before them: d_x += .
  void qkv(const QkvGradients& d, const at::Tensor& d_x) {
    const ModulatedNorm norm = {weights_.norm1, state_.parts, 0};
    const NormCall call = {place_.pass.all.runs, state_.x, norm_vectors(norm)};
    at::Tensor stats = state_.stats1;
    const at::Tensor h = norm_forward(call, d.kv.scalar_type(), stats);
    const NormGradients d_norm = norm_backward(call, stats, projections(d, h), d_x);
    norm_vectors_backward(norm, d_norm, gradients_.sums.norm1, d_parts_);
    modulation_backward(weights_.modulation, gradients_.sums.modulation, place_.condition,
                        d_parts_);
  }

 private:
  at::Tensor projections(const QkvGradients& d, const at::Tensor& h) {
    const at::Tensor& sum = gradients_.sums.qkv;
    const std::int64_t width = h.size(1);
    if (d.all.defined()) {
      add_weight_gradient(sum, d.all, h);
      return product_backward(d.all, weights_.qkv);
    }
    add_weight_gradient(sum.narrow(0, width, 2 * width), d.kv, h);
    at::Tensor d_h = product_backward(d.kv, weights_.qkv.narrow(0, width, 2 * width));
    if (d.q.size(0) > 0) {
      add_weight_gradient(sum.narrow(0, 0, width), d.q, selected(h, place_.rows));
      d_h.index_add_(0, place_.rows.index, product_backward(d.q, weights_.qkv.narrow(0, 0, width)));
    }
    return d_h;
  }

  const LayerPlace& place_;
  const LayerTensors& weights_;
  const LayerState& state_;
  LayerGradients& gradients_;
  std::vector<at::Tensor> d_parts_;  // of the modulation
};

}  // namespace

at::Tensor layer_forward(const LayerPlace& place, const at::Tensor& x, LayerState& state) {
  const at::ScalarType dtype = product_dtype(place.shape);
  const std::int64_t width = place.shape.width;
  const LayerTensors& weights = place.weights;
  const std::vector<RowRun>& runs = place.rows.runs;
  state.x = x;
  state.parts = modulation_parts(weights.modulation, place.condition, width);
  make_qkv(place,
           norm_forward({place.pass.all.runs, x, norm_vectors({weights.norm1, state.parts, 0})},
                        dtype, state.stats1),
           state);
  if (place.rows.rows() == 0)
    return {};
  const AttentionPlace where = {place.pass, place.rows, place.angles, place.shape.heads};
  state.attention = attention_forward(
      where, attention_tensors(place.pass, state.q, state.kv, clean_kv_of(place)));
  state.y1 = product(state.attention.out, weights.out, {});
  state.keep1 = draw_keep_mask(dropout_at(place.dropout, 0), place.rows, width);
  state.middle = gate_forward(runs, selected(x, place.rows), state.y1,
                              gate_parts(state, place.dropout, false));
  const at::Tensor h = norm_forward(
      {runs, state.middle, norm_vectors({weights.norm2, state.parts, 3})}, dtype, state.stats2);
  state.up = product(h, weights.up.weight, weights.up.bias);
  state.y2 = product(gelu_forward(state.up), weights.down.weight, weights.down.bias);
  state.keep2 = draw_keep_mask(dropout_at(place.dropout, 1), place.rows, width);
  return gate_forward(runs, state.middle, state.y2, gate_parts(state, place.dropout, true));
}

at::Tensor layer_backward(const LayerPlace& place, const at::Tensor& d_out, const LayerState& state,
                          LayerGradients& gradients) {
  LayerBackward backward(place, state, gradients);
  const bool goes_on = place.rows.rows() > 0;
  if (goes_on)
    backward.mlp(d_out);
  const QkvGradients d = backward.mix(d_out);
  at::Tensor d_x = d_out;
  if (place.rows.index.defined()) {
    d_x = at::zeros(state.x.sizes(), at::kFloat);
    if (goes_on)
      d_x.index_copy_(0, place.rows.index, d_out);
  }
  backward.qkv(d, d_x);
  return d_x;
}

}  // namespace dlm
