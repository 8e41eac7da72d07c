#include "models/training/condition.h"

#include <algorithm>
#include <cmath>

#include <ATen/TensorOperators.h>
#include <ATen/ops/addmm.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/outer.h>
#include <ATen/ops/sigmoid.h>
#include <ATen/ops/silu.h>
#include <ATen/ops/zeros_like.h>

namespace dlm {
namespace {

constexpr std::int64_t kHalf = 128;  // frequencies

at::Tensor silu_backward(const at::Tensor& d, const at::Tensor& x) {
  const at::Tensor s = at::sigmoid(x);
  return d * s * (1 + x * (1 - s));
}

// Adds to an affine map's gradients; returns that of its input.
at::Tensor affine_backward(const Affine& map, const Affine& gradient, const at::Tensor& x,
                           const at::Tensor& d) {
  gradient.weight.addmm_(d.t(), x);
  gradient.bias.add_(d.sum(0));
  return d.mm(map.weight);
}

}  // namespace

Condition make_condition(const NetworkTensors& values, const std::vector<double>& sigma) {
  at::Tensor levels = at::empty({std::ssize(sigma)}, at::kFloat);
  std::transform(sigma.begin(), sigma.end(), levels.mutable_data_ptr<float>(),
                 [](double value) { return static_cast<float>(value); });
  const double step = -std::log(10000.0) / static_cast<double>(kHalf);
  const at::Tensor angles = at::outer(levels, at::arange(kHalf, at::kFloat).mul_(step).exp_());
  Condition condition;
  condition.waves = at::cat({angles.cos(), angles.sin()}, 1);
  condition.in = at::addmm(values.sigma_in.bias, condition.waves, values.sigma_in.weight.t());
  condition.inner = at::silu(condition.in);
  condition.out = at::addmm(values.sigma_out.bias, condition.inner, values.sigma_out.weight.t());
  condition.levels = at::silu(condition.out);
  condition.gradient = at::zeros_like(condition.levels);
  return condition;
}

void condition_backward(const NetworkTensors& values, const Condition& condition,
                        const NetworkTensors& gradients) {
  const at::Tensor d_out = silu_backward(condition.gradient, condition.out);
  const at::Tensor d_inner =
      affine_backward(values.sigma_out, gradients.sigma_out, condition.inner, d_out);
  const at::Tensor d_in = silu_backward(d_inner, condition.in);
  affine_backward(values.sigma_in, gradients.sigma_in, condition.waves, d_in);
}

std::vector<at::Tensor> modulation_parts(const Affine& modulation, const Condition& condition,
                                         std::int64_t width) {
  if (!condition.present())
    return {};
  const at::Tensor all = at::addmm(modulation.bias, condition.levels, modulation.weight.t());
  std::vector<at::Tensor> parts;
  for (std::int64_t begin = 0; begin < all.size(1); begin += width)
    parts.push_back(all.narrow(1, begin, width).contiguous());
  return parts;
}

void modulation_backward(const Affine& modulation, const Affine& gradient, Condition& condition,
                         const std::vector<at::Tensor>& d_parts) {
  if (!condition.present())
    return;
  condition.gradient.add_(
      affine_backward(modulation, gradient, condition.levels, at::cat(d_parts, 1)));
}

NormVectors norm_vectors(const ModulatedNorm& norm) {
  if (norm.parts.empty())
    return {norm.weight.unsqueeze(0), {}};
  return {norm.weight * (1 + norm.parts[norm.shift + 1]), norm.parts[norm.shift]};
}

void norm_vectors_backward(const ModulatedNorm& norm, const NormGradients& d_vectors,
                           const at::Tensor& gradient, std::vector<at::Tensor>& d_parts) {
  if (norm.parts.empty()) {
    gradient.add_(d_vectors.weight.sum(0));
    return;
  }
  gradient.add_((d_vectors.weight * (1 + norm.parts[norm.shift + 1])).sum(0));
  d_parts[norm.shift] = d_vectors.bias;
  d_parts[norm.shift + 1] = d_vectors.weight * norm.weight;
}

}  // namespace dlm
