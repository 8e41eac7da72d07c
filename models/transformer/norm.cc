#include "models/transformer/norm.h"

#include <optional>

#include <ATen/ops/layer_norm.h>

namespace dlm {

at::Tensor normalise(const Norm& norm, const at::Tensor& x) {
  if (norm.kind == NormKind::kLayer) {
    const auto bias =
        norm.bias.defined() ? std::optional<at::Tensor>(norm.bias) : std::optional<at::Tensor>();
    return at::layer_norm(x, {x.size(-1)}, norm.weight, bias, norm.eps);
  }
  const at::Tensor wide = x.to(at::kFloat);
  const at::Tensor scale = wide.square().mean(-1, true).add_(norm.eps).rsqrt_();
  return wide.mul(scale).to(x.scalar_type()).mul_(norm.weight);
}

}  // namespace dlm
