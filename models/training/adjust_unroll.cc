#include "models/training/adjust_unroll.h"

#include <algorithm>
#include <utility>

#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/index_select.h>
#include <ATen/ops/mm.h>
#include <ATen/ops/zeros.h>

#include "harness/base/error.h"
#include "models/training/layer.h"
#include "models/training/products.h"
#include "models/training/row_loops.h"

namespace dlm {
namespace {

constexpr std::int64_t kRowsPerTask = 64;

std::int64_t tasks_of(std::int64_t rows) {
  return (rows + kRowsPerTask - 1) / kRowsPerTask;
}

// Calls visit(task, begin, end) for every run of rows, by all threads.
template <class Visit>
void each_run(std::int64_t rows, const Visit& visit) {
#pragma omp parallel for schedule(static)
  for (std::int64_t task = 0; task < tasks_of(rows); ++task)
    visit(task, task * kRowsPerTask, std::min(rows, (task + 1) * kRowsPerTask));
}

struct RmsNorm {
  const at::Tensor& weight;  // (D)
  double eps = 1e-6;
};

RmsLoop rms_loop(const RmsNorm& norm, const at::Tensor& x, const at::Tensor& inverse,
                 const at::Tensor& h) {
  return {x.const_data_ptr<float>(),
          x.stride(0),
          inverse.mutable_data_ptr<float>(),
          norm.weight.const_data_ptr<float>(),
          h.mutable_data_ptr<float>(),
          h.stride(0),
          x.size(1),
          static_cast<float>(norm.eps)};
}

// x (N, D) -> h (N, D), which may be columns of a wider tensor; `inverse` is made where undefined.
void rms_into(const RmsNorm& norm, const at::Tensor& x, at::Tensor& inverse, const at::Tensor& h) {
  const bool known = inverse.defined();
  if (!known)
    inverse = at::empty({x.size(0)}, at::kFloat);
  const RmsLoop loop = rms_loop(norm, x, inverse, h);
  each_run(x.size(0), [&](std::int64_t, std::int64_t begin, std::int64_t end) {
    known ? rms_rows_again(loop, begin, end) : rms_rows(loop, begin, end);
  });
}

at::Tensor rms(const RmsNorm& norm, const at::Tensor& x, at::Tensor& inverse) {
  at::Tensor h = at::empty(x.sizes(), at::kFloat);
  rms_into(norm, x, inverse, h);
  return h;
}

struct RmsGradients {
  const at::Tensor& weight;  // (D), added to
  at::Tensor x;              // (N, D), added to; undefined: not wanted
};

// Sums over rows are taken run by run and then in order, so that threads do not change them.
void rms_back(const RmsNorm& norm, const at::Tensor& x, const at::Tensor& inverse,
              const std::pair<at::Tensor, RmsGradients>& d) {
  const auto& [d_h, to] = d;
  const std::int64_t width = x.size(1);
  const RmsLoop loop = rms_loop(norm, x, inverse, d_h);
  const at::Tensor sums = at::zeros({tasks_of(x.size(0)), width}, at::kFloat);
  float* const partial = sums.mutable_data_ptr<float>();
  float* const dx = to.x.defined() ? to.x.mutable_data_ptr<float>() : nullptr;
  each_run(x.size(0), [&](std::int64_t task, std::int64_t begin, std::int64_t end) {
    rms_backward_rows(loop, begin, end, {dx, partial + task * width});
  });
  for (std::int64_t task = 0; task < sums.size(0); ++task)
    add_values(to.weight.mutable_data_ptr<float>(), partial + task * width, width);
}

at::Tensor swiglu(const at::Tensor& gate_up) {
  const std::int64_t inner = gate_up.size(1) / 2;
  at::Tensor out = at::empty({gate_up.size(0), inner}, at::kFloat);
  each_run(gate_up.size(0), [&](std::int64_t, std::int64_t begin, std::int64_t end) {
    swiglu_rows(gate_up.const_data_ptr<float>() + 2 * begin * inner,
                out.mutable_data_ptr<float>() + begin * inner, end - begin, inner);
  });
  return out;
}

at::Tensor swiglu_back(const at::Tensor& gate_up, const at::Tensor& d_out) {
  const std::int64_t inner = gate_up.size(1) / 2;
  at::Tensor d = at::empty(gate_up.sizes(), at::kFloat);
  each_run(gate_up.size(0), [&](std::int64_t, std::int64_t begin, std::int64_t end) {
    swiglu_backward_rows({gate_up.const_data_ptr<float>() + 2 * begin * inner,
                          d_out.const_data_ptr<float>() + begin * inner,
                          d.mutable_data_ptr<float>() + 2 * begin * inner},
                         end - begin, inner);
  });
  return d;
}

// Every position of a sequence sees all of it.
Pass whole_sequences(std::int64_t sequences, std::int64_t length) {
  Pass pass;
  pass.noisy_rows = sequences * length;
  for (std::int64_t b = 0; b < sequences; ++b) {
    pass.keys.push_back({b * length, length, 0, 0});
    pass.all.spans.push_back({b * length, (b + 1) * length, b, Stream::kNoisy});
    for (std::int64_t i = 0; i < length; ++i) {
      const auto position = static_cast<std::int32_t>(i);
      pass.noisy_positions.push_back(position);
      pass.all.seen.push_back({0, 0, static_cast<std::int32_t>(length), position});
    }
  }
  return pass;
}

// What the backward of a pass needs.
struct PassState {
  at::Tensor e, h;                  // (N, D): embeddings, and the states it began with
  at::Tensor inverse_e, inverse_h;  // (N)
  at::Tensor z0, inverse1;          // the block's input
  at::Tensor qkv;                   // (N, 3 D)
  AttentionResult attention;
  at::Tensor z1, inverse2;  // after attention
  at::Tensor gate_up;       // (N, 2 I)
  at::Tensor z2, inverse3;  // after the MLP
  at::Tensor out;           // (N, D) the next states
};

class Unrolling {
 public:
  Unrolling(const AdjustUnroll& unroll, const AdjustTensors& weights)
      : unroll_(unroll),
        weights_(weights),
        eps_(unroll.config.block.eps),
        pass_(whole_sequences(unroll.sequences, unroll.states.size(0) / unroll.sequences)) {
    for (const AdjustTarget& target : unroll.targets) {
      DLM_CHECK(target.ids.numel() == unroll.states.size(0), "{} ids of {} positions",
                target.ids.numel(), unroll.states.size(0));
    }
  }

  const PassState& forward(std::size_t number) {
    const at::Tensor h = number == 0 ? unroll_.states : states_.back().out;
    states_.emplace_back();
    PassState& state = states_.back();
    state.h = h;
    state.e = unroll_.base.embedding.index_select(0, unroll_.targets[number].ids);
    state.z0 = product(joined(state), weights_.project.weight, weights_.project.bias);
    state.qkv = product(rms({weights_.norm1, eps_}, state.z0, state.inverse1), weights_.qkv.weight,
                        weights_.qkv.bias);
    state.attention = attention_forward(place(), attention_tensors(state.qkv));
    state.z1 = product(state.attention.out, weights_.out, {}).add_(state.z0);
    state.gate_up =
        product(rms({weights_.norm2, eps_}, state.z1, state.inverse2), weights_.gate_up, {});
    state.z2 = product(swiglu(state.gate_up), weights_.down, {}).add_(state.z1);
    state.out = rms({weights_.norm_postattn, eps_}, state.z2, state.inverse3).add_(h);
    return state;
  }

  // Forgets what only the backward reads.
  void keep_last() { states_.erase(states_.begin(), states_.end() - 1); }

  // d_out (N, D) of the pass's next states -> of those it began with, in place.
  void backward(std::size_t number, const at::Tensor& d_out, const AdjustTensors& sums) {
    PassState& state = states_[number];
    const at::Tensor d = at::zeros(d_out.sizes(), at::kFloat);
    rms_back({weights_.norm_postattn, eps_}, state.z2, state.inverse3,
             {d_out, {sums.norm_postattn, d}});
    mlp_backward(state, d, sums);
    attention_backward_of(state, d, sums);
    input_backward(state, d, {d_out, sums});
    state = PassState();
  }

 private:
  AttentionPlace place() const {
    return {pass_, pass_.all, unroll_.angles, unroll_.config.block.shape.heads};
  }

  static AttentionTensors attention_tensors(const at::Tensor& qkv) {
    const std::int64_t width = qkv.size(1) / 3;
    return {qkv.narrow(1, 0, width),
            qkv.narrow(1, width, width),
            qkv.narrow(1, 2 * width, width),
            {},
            {}};
  }

  // (N, 2 D): what the projection reads.
  at::Tensor joined(PassState& state) const {
    const std::int64_t width = state.h.size(1);
    at::Tensor u = at::empty({state.h.size(0), 2 * width}, at::kFloat);
    rms_into({weights_.norm_embed, eps_}, state.e, state.inverse_e, u.narrow(1, 0, width));
    rms_into({weights_.norm_hidden, eps_}, state.h, state.inverse_h, u.narrow(1, width, width));
    return u;
  }

  // d of z2 -> of z1, in place; so are the next ones.
  void mlp_backward(PassState& state, const at::Tensor& d, const AdjustTensors& sums) const {
    add_weight_gradient(sums.down, d, swiglu(state.gate_up));
    const at::Tensor d_gate_up = swiglu_back(state.gate_up, d.mm(weights_.down));
    const RmsNorm norm = {weights_.norm2, eps_};
    add_weight_gradient(sums.gate_up, d_gate_up, rms(norm, state.z1, state.inverse2));
    rms_back(norm, state.z1, state.inverse2, {d_gate_up.mm(weights_.gate_up), {sums.norm2, d}});
  }

  void attention_backward_of(PassState& state, const at::Tensor& d,
                             const AdjustTensors& sums) const {
    add_weight_gradient(sums.out, d, state.attention.out);
    const at::Tensor d_qkv = at::empty(state.qkv.sizes(), at::kFloat);
    attention_backward(place(), attention_tensors(state.qkv), state.attention,
                       {d.mm(weights_.out), attention_tensors(d_qkv), false});
    const RmsNorm norm = {weights_.norm1, eps_};
    add_weight_gradient(sums.qkv.weight, d_qkv, rms(norm, state.z0, state.inverse1));
    add_bias_gradient(sums.qkv.bias, d_qkv);
    rms_back(norm, state.z0, state.inverse1, {d_qkv.mm(weights_.qkv.weight), {sums.norm1, d}});
  }

  // to.first += through the states that the pass began with.
  void input_backward(PassState& state, const at::Tensor& d,
                      const std::pair<at::Tensor, const AdjustTensors&>& to) const {
    const auto& [d_states, sums] = to;
    const std::int64_t width = d.size(1);
    add_weight_gradient(sums.project.weight, d, joined(state));
    add_bias_gradient(sums.project.bias, d);
    const at::Tensor d_u = d.mm(weights_.project.weight);
    rms_back({weights_.norm_embed, eps_}, state.e, state.inverse_e,
             {d_u.narrow(1, 0, width), {sums.norm_embed, {}}});
    rms_back({weights_.norm_hidden, eps_}, state.h, state.inverse_h,
             {d_u.narrow(1, width, width), {sums.norm_hidden, d_states}});
  }

  const AdjustUnroll& unroll_;
  const AdjustTensors& weights_;
  double eps_;
  Pass pass_;
  std::vector<PassState> states_;
};

// The head over a pass's rows with loss, a chunk of logits at a time.
class TargetRows {
 public:
  TargetRows(const AdjustUnroll& unroll, const AdjustTarget& target)
      : unroll_(unroll), target_(target) {}

  std::vector<RowDivergence> measure(const at::Tensor& states) const {
    return each_chunk(
        states, [](std::int64_t, const at::Tensor&) {}, 0);
  }

  // d_states (N, D) += the gradient of scale x the sum of weight x divergence.
  std::vector<RowDivergence> differentiate(const at::Tensor& states, double scale,
                                           const at::Tensor& d_states) const {
    return each_chunk(
        states,
        [&](std::int64_t first, const at::Tensor& d_logits) {
          d_states.index_add_(0, target_.rows.narrow(0, first, d_logits.size(0)),
                              d_logits.mm(unroll_.base.head.weight));
        },
        scale);
  }

 private:
  // Calls visit(first, gradients of the logits) for every chunk; scale 0: logits themselves.
  template <class Visit>
  std::vector<RowDivergence> each_chunk(const at::Tensor& states, const Visit& visit,
                                        double scale) const {
    std::vector<RowDivergence> out(target_.weights.size());
    const Affine& head = unroll_.base.head;
    for (std::int64_t first = 0; first < std::ssize(out); first += unroll_.chunk_rows) {
      const std::int64_t count = std::min(unroll_.chunk_rows, std::ssize(out) - first);
      const at::Tensor rows = states.index_select(0, target_.rows.narrow(0, first, count));
      const at::Tensor logits = product(rows, head.weight, head.bias);
      float* const values = logits.mutable_data_ptr<float>();
#pragma omp parallel for schedule(static)
      for (std::int64_t row = 0; row < count; ++row)
        out[static_cast<std::size_t>(first + row)] =
            one(first + row, values + row * logits.size(1), scale);
      visit(first, logits);
    }
    return out;
  }

  // `values`: the row's V logits.
  RowDivergence one(std::int64_t row, float* values, double scale) const {
    const auto at = static_cast<std::size_t>(row);
    const std::int64_t size = target_.laws.size(1);
    const LawRow teacher = {target_.laws.const_data_ptr<float>() + row * size,
                            target_.negative_entropy[at]};
    const LogitRow student = {values, size, unroll_.base.mask_id};
    const RowDivergence found = divergence(teacher, student);
    if (scale != 0)
      differentiate_divergence(teacher, student, found.log_sum, scale * target_.weights[at]);
    return found;
  }

  const AdjustUnroll& unroll_;
  const AdjustTarget& target_;
};

}  // namespace

std::vector<std::vector<RowDivergence>> unroll_divergences(const AdjustUnroll& unroll,
                                                           const AdjustTensors& weights) {
  Unrolling unrolling(unroll, weights);
  std::vector<std::vector<RowDivergence>> out;
  for (std::size_t number = 0; number < unroll.targets.size(); ++number) {
    const at::Tensor next = unrolling.forward(number).out;
    out.push_back(TargetRows(unroll, unroll.targets[number]).measure(next));
    unrolling.keep_last();
  }
  return out;
}

std::vector<std::vector<RowDivergence>> unroll_backward(const AdjustUnroll& unroll,
                                                        const AdjustTensors& weights, double scale,
                                                        const AdjustTensors& gradients) {
  Unrolling unrolling(unroll, weights);
  std::vector<at::Tensor> next;
  for (std::size_t number = 0; number < unroll.targets.size(); ++number)
    next.push_back(unrolling.forward(number).out);
  std::vector<std::vector<RowDivergence>> out(next.size());
  const at::Tensor d = at::zeros(unroll.states.sizes(), at::kFloat);
  for (std::size_t number = next.size(); number-- > 0;) {
    out[number] = TargetRows(unroll, unroll.targets[number]).differentiate(next[number], scale, d);
    unrolling.backward(number, d, gradients);
  }
  return out;
}

double unroll_flops(const AdjustUnroll& unroll) {
  const DecoderShape& shape = unroll.config.block.shape;
  const auto width = static_cast<double>(shape.width);
  const auto rows = static_cast<double>(unroll.states.size(0));
  const double length = rows / static_cast<double>(unroll.sequences);
  const double row = width * (6 * width + 3 * static_cast<double>(shape.inner) + 2 * length);
  double flops = 0;
  for (const AdjustTarget& target : unroll.targets)
    flops += 2 * (rows * row + static_cast<double>(target.weights.size()) * width *
                                   static_cast<double>(shape.vocab_size));
  return flops;
}

}  // namespace dlm
