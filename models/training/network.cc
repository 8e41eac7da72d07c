#include "models/training/network.h"

#include <utility>

#include <ATen/ops/empty.h>
#include <ATen/ops/index_select.h>
#include <ATen/ops/zeros.h>

#include "harness/base/error.h"

namespace dlm {
namespace {

using States = std::vector<LayerState>;  // of each layer of a pass

class Network {
 public:
  Network(const NetworkRun& run, const NetworkTensors& weights) : run_(run), weights_(weights) {
    if (run.shape.adaln)
      condition_ = make_condition(weights, run.sigma);
  }

  // Rows after the last layer of the last pass. Without `keeps` a layer's state goes with it, but
  // for keys that another pass reads.
  at::Tensor forward(bool keeps) {
    states_.assign(run_.plan.passes.size(), States(weights_.layers.size()));
    at::Tensor x;
    for (std::size_t pass = 0; pass < states_.size(); ++pass) {
      x = weights_.embedding.index_select(0, run_.plan.passes[pass].ids);
      for (std::size_t layer = 0; layer < weights_.layers.size(); ++layer) {
        LayerState& state = states_[pass][layer];
        x = layer_forward(place(pass, layer), x, state);
        if (!keeps) {
          const at::Tensor kv = state.kv;
          state = LayerState();
          if (pass + 1 < states_.size())
            state.kv = kv;
        }
      }
    }
    return x;
  }

  // The rows that the head reads.
  at::Tensor final_rows(const at::Tensor& x) {
    final_x_ = x;
    final_parts_ = modulation_parts(weights_.final_modulation, condition_, run_.shape.width);
    return norm_forward(final_call(), run_.shape.brain ? at::kBFloat16 : at::kFloat, final_stats_);
  }

  // d_rows: of final_rows.
  void backward(const at::Tensor& d_rows, const NetworkTensors& gradients) {
    at::Tensor d = final_backward(d_rows, gradients);
    std::vector<at::Tensor> clean_kv(weights_.layers.size());
    for (std::size_t pass = states_.size(); pass-- > 0;) {
      for (std::size_t layer = weights_.layers.size(); layer-- > 0;) {
        LayerGradients sums = {gradients.layers[layer], clean_kv[layer]};
        d = layer_backward(place(pass, layer), d, states_[pass][layer], sums);
        clean_kv[layer] = sums.clean_kv;
        if (pass + 1 == states_.size())
          release(states_[pass][layer]);
      }
      embedding_backward(run_.plan.passes[pass].ids, d, gradients.embedding);
      d = at::Tensor();
    }
    if (condition_.present())
      condition_backward(weights_, condition_, gradients);
  }

 private:
  static void release(LayerState& state) { state = LayerState(); }

  LayerPlace place(std::size_t pass, std::size_t layer) {
    const Pass& of = run_.plan.passes[pass];
    const bool is_last = layer + 1 == weights_.layers.size();
    Dropout dropout = run_.dropout;
    dropout.place = 2 * layer;
    return {of,
            is_last ? of.last : of.all,
            run_.angles,
            run_.shape,
            weights_.layers[layer],
            condition_,
            pass == 0 ? nullptr : &states_[pass - 1][layer],
            dropout};
  }

  const RowSet& last_rows() const { return run_.plan.passes.back().last; }

  ModulatedNorm final_norm() const { return {weights_.final_norm, final_parts_, 0}; }

  NormCall final_call() const { return {last_rows().runs, final_x_, norm_vectors(final_norm())}; }

  at::Tensor final_backward(const at::Tensor& d_rows, const NetworkTensors& gradients) {
    at::Tensor d = at::zeros(final_x_.sizes(), at::kFloat);
    std::vector<at::Tensor> d_parts(final_parts_.size());
    const NormGradients norm = norm_backward(final_call(), final_stats_, d_rows, d);
    norm_vectors_backward(final_norm(), norm, gradients.final_norm, d_parts);
    modulation_backward(weights_.final_modulation, gradients.final_modulation, condition_, d_parts);
    return d;
  }

  const NetworkRun& run_;
  const NetworkTensors& weights_;
  Condition condition_;
  std::vector<States> states_;  // of each pass
  at::Tensor final_x_, final_stats_;
  std::vector<at::Tensor> final_parts_;
};

}  // namespace

std::vector<double> network_terms(const NetworkRun& run, const NetworkTensors& weights) {
  if (run.loss.rows.empty())
    return {};
  Network network(run, weights);
  const at::Tensor rows = network.final_rows(network.forward(false));
  return head_terms(run.loss, weights.head, rows);
}

std::vector<double> network_backward(const NetworkRun& run, const NetworkTensors& weights,
                                     double scale, const NetworkTensors& gradients) {
  if (run.loss.rows.empty())
    return {};
  Network network(run, weights);
  const at::Tensor rows = network.final_rows(network.forward(true));
  const at::Tensor d_rows = at::empty(rows.sizes(), rows.options());
  std::vector<double> terms =
      head_backward(run.loss, weights.head, rows, {scale, gradients.head, d_rows});
  network.backward(d_rows, gradients);
  return terms;
}

PassCounts network_cost(const NetworkRun& run) {
  const auto width = static_cast<double>(run.shape.width);
  PassCounts cost;
  for (const Pass& pass : run.plan.passes) {
    cost.passes += 1;
    cost.positions += pass.rows();
    for (std::int64_t layer = 0; layer < run.shape.layers; ++layer) {
      const RowSet& rows = layer + 1 == run.shape.layers ? pass.last : pass.all;
      double pairs = 0;
      for (const SeenKeys& seen : rows.seen) pairs += seen.visible + seen.own_end - seen.own_begin;
      const auto queries = static_cast<double>(rows.rows());
      cost.flops += 2 * width * width * (2 * static_cast<double>(pass.rows()) + 10 * queries) +
                    4 * width * pairs;
    }
  }
  cost.head_rows = std::ssize(run.loss.rows);
  cost.flops +=
      2 * static_cast<double>(cost.head_rows) * width * static_cast<double>(run.shape.vocab_size);
  return cost;
}

}  // namespace dlm
