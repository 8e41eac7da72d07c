#include "models/diffusion_transformer/noise.h"

#include <algorithm>
#include <cmath>

#include <ATen/ops/arange.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/outer.h>
#include <ATen/ops/silu.h>

namespace dlm {
namespace {

constexpr double kSmoothing = 1e-3;
constexpr std::int64_t kFrequencies = 128;

}  // namespace

NoiseLevel noise_level(NoiseConvention convention, double t) {
  if (convention == NoiseConvention::kClipped) {
    const double sigma = std::min(-std::log1p(-t), -std::log(kSmoothing));
    return {sigma, std::expm1(sigma) / t};
  }
  const double masked = (1 - kSmoothing) * t;
  return {-std::log1p(-masked), (1 - kSmoothing) / (1 - masked)};
}

at::Tensor sigma_condition(const SigmaMap& map, std::span<const double> sigma) {
  at::Tensor levels = at::empty({static_cast<std::int64_t>(sigma.size())}, at::kFloat);
  std::transform(sigma.begin(), sigma.end(), levels.mutable_data_ptr<float>(),
                 [](double value) { return static_cast<float>(value); });
  const double step = -std::log(10000.0) / static_cast<double>(kFrequencies);
  const at::Tensor frequencies = at::arange(kFrequencies, at::kFloat).mul_(step).exp_();
  const at::Tensor angles = at::outer(levels, frequencies);
  const at::Tensor waves = at::cat({angles.cos(), angles.sin()}, 1).to(map.in_weight.device());
  const at::Tensor inner = at::silu(at::linear(waves, map.in_weight, map.in_bias));
  return at::silu(at::linear(inner, map.out_weight, map.out_bias));
}

}  // namespace dlm
