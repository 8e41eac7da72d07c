#include "models/training/gradient_variance.h"

#include <vector>

#include <ATen/TensorOperators.h>
#include <ATen/ops/zeros_like.h>

#include <fmt/format.h>

#include "harness/base/error.h"
#include "models/transformer/inference_scope.h"

namespace dlm {
namespace {

double square_sum(const at::Tensor& x) {
  return x.square().sum(at::kDouble).item().toDouble();
}

}  // namespace

GradientVariance gradient_variance(Trainable& network, std::span<const TrainBatch> batches) {
  if (batches.size() < 2)
    throw ConfigError("batches", fmt::format("{}", batches.size()), "at least 2");
  const InferenceScope scope;
  const std::span<Parameter> parameters = network.parameters();
  std::vector<at::Tensor> means;
  for (const Parameter& parameter : parameters) {
    parameter.gradient.zero_();
    means.push_back(at::zeros_like(parameter.gradient));
  }
  GradientVariance out;
  for (const TrainBatch& batch : batches) {
    network.accumulate_gradients(batch, 1);
    out.batches += 1;
    const auto count = static_cast<double>(out.batches);
    for (std::size_t i = 0; i < parameters.size(); ++i) {
      // Welford's update of the mean and of the sum of squares about it.
      at::Tensor& gradient = parameters[i].gradient;
      gradient.sub_(means[i]);
      means[i].add_(gradient, 1 / count);
      out.variance += square_sum(gradient) * (count - 1) / count;
      gradient.zero_();
    }
  }
  out.variance /= static_cast<double>(out.batches - 1);
  for (const at::Tensor& mean : means) out.mean_square += square_sum(mean);
  return out;
}

}  // namespace dlm
