#include "tests/models/training/fake_network.h"

#include <cmath>

#include <ATen/ops/zeros.h>

#include <nlohmann/json.hpp>

#include "harness/base/error.h"

namespace dlm::testing {

UnigramNetwork::UnigramNetwork(std::int64_t vocab_size) {
  parameters_.push_back({"logits", at::zeros({vocab_size}), at::zeros({vocab_size})});
  parameters_.push_back({"unused", at::zeros({3, 5}), at::zeros({3, 5})});
}

std::vector<double> UnigramNetwork::law() const {
  const float* logits = parameters_[0].value.const_data_ptr<float>();
  std::vector<double> law(static_cast<std::size_t>(parameters_[0].value.numel()));
  double sum = 0;
  for (std::size_t v = 0; v < law.size(); ++v) sum += law[v] = std::exp(double{logits[v]});
  for (double& p : law) p /= sum;
  return law;
}

BatchLoss UnigramNetwork::evaluate(const TrainBatch& batch) {
  const std::vector<double> p = law();
  BatchLoss loss;
  const auto* ids = batch.ids.const_data_ptr<std::int64_t>();
  for (std::int64_t i = 0; i < batch.ids.numel(); ++i)
    loss.sum -= std::log(p[static_cast<std::size_t>(ids[i])]);
  loss.tokens = static_cast<double>(batch.ids.numel());
  loss.nelbo = loss.sum;
  return loss;
}

BatchLoss UnigramNetwork::accumulate_gradients(const TrainBatch& batch, double scale) {
  if (loss_throws_)
    throw InternalError("the loss is not finite");
  const std::vector<double> p = law();
  float* gradient = parameters_[0].gradient.mutable_data_ptr<float>();
  const auto* ids = batch.ids.const_data_ptr<std::int64_t>();
  const auto n = static_cast<double>(batch.ids.numel());
  std::vector<double> sums(p.size());
  for (std::int64_t i = 0; i < batch.ids.numel(); ++i) sums[static_cast<std::size_t>(ids[i])] += 1;
  for (std::size_t v = 0; v < p.size(); ++v)
    gradient[v] += static_cast<float>(scale * (p[v] - sums[v] / n));
  if (gradient_is_nan_)
    gradient[0] = std::numeric_limits<float>::quiet_NaN();
  return evaluate(batch);
}

Json UnigramNetwork::config_json() const {
  return {{"model_type", "unigram"}, {"vocab_size", parameters_[0].value.numel()}};
}

}  // namespace dlm::testing
