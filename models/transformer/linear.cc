#include "models/transformer/linear.h"

#include <algorithm>
#include <array>
#include <optional>
#include <string>
#include <string_view>

#include <ATen/Context.h>
#include <ATen/core/List.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <ATen/ops/gelu.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/silu.h>
#include <ATen/ops/zeros.h>
#include <c10/util/Exception.h>

#include "harness/base/error.h"
#include "models/transformer/panel_linear.h"

namespace dlm {
namespace {

// The operators that libtorch registers by name only. Source: pytorch
// aten/src/ATen/native/mkldnn/Linear.cpp.
using Scalars = c10::List<std::optional<at::Scalar>>;
using PackOp = at::Tensor(const at::Tensor&, std::optional<std::int64_t>);
using PointwiseOp = at::Tensor(const at::Tensor&, const at::Tensor&,
                               const std::optional<at::Tensor>&, std::string_view, Scalars,
                               std::optional<std::string_view>);
using BinaryOp = at::Tensor(const at::Tensor&, const at::Tensor&, const at::Tensor&,
                            const std::optional<at::Tensor>&, std::string_view);

template <class Signature>
c10::TypedOperatorHandle<Signature> find_op(const char* name, const char* overload) {
  return c10::Dispatcher::singleton().findSchemaOrThrow(name, overload).typed<Signature>();
}

std::optional<at::Tensor> optional_bias(const Linear& layer) {
  return layer.bias.defined() ? std::optional<at::Tensor>(layer.bias) : std::nullopt;
}

at::Tensor pack(const at::Tensor& weight) {
  static const auto op = find_op<PackOp>("mkldnn::_reorder_linear_weight", "");
  return op.call(weight, std::nullopt);
}

at::Tensor pointwise(const Linear& layer, const at::Tensor& x, std::string_view attribute,
                     std::string_view algorithm) {
  static const auto op = find_op<PointwiseOp>("mkldnn::_linear_pointwise", "");
  return op.call(x, layer.weight, optional_bias(layer), attribute, Scalars(), algorithm);
}

at::Tensor binary(const Linear& layer, const at::Tensor& x, const at::Tensor& other,
                  std::string_view attribute) {
  static const auto op = find_op<BinaryOp>("mkldnn::_linear_pointwise", "binary");
  return op.call(x, other, layer.weight, optional_bias(layer), attribute);
}

at::Tensor by_panels(const Linear& layer, const at::Tensor& x, const PanelEnd& end) {
  return panel_linear(*layer.panels, x, end);
}

// Why oneDNN cannot compute here; empty where it can. The operators refuse a dtype that the CPU
// lacks only when called, so one small weight is packed and used.
std::string why_not_onednn(at::Device device, at::ScalarType dtype) {
  if (!device.is_cpu())
    return "it computes on the CPU only";
  if (!at::globalContext().hasMKLDNN())
    return "this libtorch was built without oneDNN";
  for (const auto& [name, overload] :
       {std::pair{"mkldnn::_reorder_linear_weight", ""}, std::pair{"mkldnn::_linear_pointwise", ""},
        std::pair{"mkldnn::_linear_pointwise", "binary"}}) {
    if (!c10::Dispatcher::singleton().findSchema({name, overload}))
      return fmt::format("this libtorch has no operator {}", name);
  }
  try {
    const at::Tensor probe = at::zeros({16, 16}, dtype);
    linear(make_linear(probe, at::Tensor(), LinearBackend::kOneDnn), probe);
  } catch (const c10::Error& error) {
    return fmt::format("libtorch says: {}", error.what_without_backtrace());
  }
  return "";
}

}  // namespace

LinearBackend resolve_linear_backend(const std::string& name, at::Device device,
                                     at::ScalarType dtype) {
  const std::array<std::string, 5> known = {"auto", "aten", "onednn", "panels", "mapped"};
  if (std::find(known.begin(), known.end(), name) == known.end())
    throw unknown_name("linear_backend", name, known);
  if (name == "aten")
    return LinearBackend::kAten;
  if (name == "mapped" && !device.is_cpu())
    throw ConfigError("linear_backend", name, "auto or aten: a file is mapped for the CPU only");
  if (name == "mapped")
    return LinearBackend::kMapped;
  const bool panels = panels_work(device, dtype);
  if (panels && name != "onednn")
    return LinearBackend::kPanels;
  if (name == "panels")
    throw ConfigError("linear_backend", name,
                      "auto, aten or onednn here: panels need a CPU with AVX-512 for f32, AMX for "
                      "bf16");
  const std::string obstacle = why_not_onednn(device, dtype);
  if (obstacle.empty())
    return LinearBackend::kOneDnn;
  if (name == "auto")
    return LinearBackend::kAten;
  throw ConfigError("linear_backend", name, fmt::format("auto or aten here: {}", obstacle));
}

Linear make_linear(const at::Tensor& weight, const at::Tensor& bias, LinearBackend backend) {
  DLM_CHECK(weight.dim() == 2, "a linear weight has 2 dimensions, not {}", weight.dim());
  DLM_CHECK(!bias.defined() || (bias.dim() == 1 && bias.size(0) == weight.size(0)),
            "bias does not fit {} outputs", weight.size(0));
  Linear layer;
  layer.inputs = weight.size(1);
  layer.outputs = weight.size(0);
  layer.backend = backend;
  layer.bias = bias;
  if (backend == LinearBackend::kPanels)
    layer.panels = make_panels(weight, bias);
  else
    layer.weight = backend == LinearBackend::kOneDnn ? pack(weight) : weight;
  return layer;
}

at::Tensor linear(const Linear& layer, const at::Tensor& x) {
  if (layer.backend == LinearBackend::kOneDnn)
    return pointwise(layer, x, "none", "");
  if (layer.backend == LinearBackend::kPanels)
    return by_panels(layer, x, {});
  return at::linear(x, layer.weight, optional_bias(layer));
}

at::Tensor linear_activated(const Linear& layer, const at::Tensor& x, Activation activation) {
  const bool fused = layer.backend == LinearBackend::kOneDnn;
  if (layer.backend == LinearBackend::kPanels && activation != Activation::kGelu) {
    const bool silu = activation == Activation::kSilu;
    return by_panels(layer, x, {silu ? PanelActivation::kSilu : PanelActivation::kGeluTanh});
  }
  switch (activation) {
    case Activation::kGelu:
      return fused ? pointwise(layer, x, "gelu", "none") : at::gelu(linear(layer, x), "none");
    case Activation::kGeluTanh:
      return fused ? pointwise(layer, x, "gelu", "tanh") : at::gelu(linear(layer, x), "tanh");
    case Activation::kSilu:
      return fused ? pointwise(layer, x, "swish", "") : at::silu(linear(layer, x));
  }
  DLM_CHECK(false, "activation {}", static_cast<int>(activation));
}

at::Tensor linear_plus(const Linear& layer, const at::Tensor& x, const at::Tensor& other) {
  if (layer.backend == LinearBackend::kOneDnn)
    return binary(layer, x, other, "add");
  if (layer.backend == LinearBackend::kPanels)
    return by_panels(layer, x, {PanelActivation::kNone, PanelCombine::kAdd, other});
  return linear(layer, x).add_(other);
}

at::Tensor linear_times(const Linear& layer, const at::Tensor& x, const at::Tensor& other) {
  if (layer.backend == LinearBackend::kOneDnn)
    return binary(layer, x, other, "mul");
  if (layer.backend == LinearBackend::kPanels)
    return by_panels(layer, x, {PanelActivation::kNone, PanelCombine::kMultiply, other});
  return linear(layer, x).mul_(other);
}

}  // namespace dlm
