#include "models/training/adjust_parameters.h"

#include <cmath>
#include <utility>

#include <ATen/ops/zeros.h>

#include <nlohmann/json.hpp>

#include "harness/base/error.h"
#include "harness/base/json.h"
#include "harness/base/log.h"
#include "models/checkpoint/checkpoint.h"
#include "models/checkpoint/weights.h"

namespace dlm {
namespace {

AdjustTensors zero_tensors(std::int64_t width, std::int64_t inner) {
  const auto zeros = [](std::vector<std::int64_t> size) { return at::zeros(size, at::kFloat); };
  AdjustTensors out;
  for (at::Tensor* norm :
       {&out.norm_embed, &out.norm_hidden, &out.norm_postattn, &out.norm1, &out.norm2})
    *norm = zeros({width});
  out.project = {zeros({width, 2 * width}), zeros({width})};
  out.qkv = {zeros({3 * width, width}), zeros({3 * width})};
  out.out = zeros({width, width});
  out.gate_up = zeros({2 * inner, width});
  out.down = zeros({width, inner});
  return out;
}

struct NamedTensor {
  std::string name;
  at::Tensor tensor;
};

// The checkpoint's tensors, as rows of those of `of`.
std::vector<NamedTensor> by_name(const AdjustTensors& of) {
  const std::string layer = "layers.0.0.";
  std::vector<NamedTensor> out = {{"down_project.0.weight", of.project.weight},
                                  {"down_project.0.bias", of.project.bias},
                                  {"norm_embed.0.weight", of.norm_embed},
                                  {"norm_hidden.0.weight", of.norm_hidden},
                                  {"norm_postattn.0.weight", of.norm_postattn},
                                  {layer + "input_layernorm.weight", of.norm1},
                                  {layer + "post_attention_layernorm.weight", of.norm2},
                                  {layer + "self_attn.o_proj.weight", of.out},
                                  {layer + "mlp.down_proj.weight", of.down}};
  const std::int64_t width = of.out.size(0);
  const char* const heads[] = {"q", "k", "v"};
  for (std::int64_t part = 0; part < 3; ++part) {
    const std::string name = fmt::format("{}self_attn.{}_proj.", layer, heads[part]);
    out.push_back({name + "weight", of.qkv.weight.narrow(0, part * width, width)});
    out.push_back({name + "bias", of.qkv.bias.narrow(0, part * width, width)});
  }
  const std::int64_t inner = of.down.size(1);
  out.push_back({layer + "mlp.gate_proj.weight", of.gate_up.narrow(0, 0, inner)});
  out.push_back({layer + "mlp.up_proj.weight", of.gate_up.narrow(0, inner, inner)});
  return out;
}

void initialise(const std::string& name, const at::Tensor& value, std::uint64_t seed) {
  if (value.dim() == 2)
    fill_uniform(value, RandomStream(seed, Purpose::kInitialWeights, hash_of_name(name)),
                 1 / std::sqrt(static_cast<double>(value.size(1))));
  else if (name.find("norm") != std::string::npos && name != "norm_postattn.0.weight")
    value.fill_(1);
}

// What no tensor's shape tells.
void check_same_layer(const AdjustConfig& found, const AdjustConfig& wanted,
                      const std::string& where) {
  const auto check = [&](const char* field, double has, double needs) {
    if (has != needs)
      throw ConfigError("fine_tune_from", fmt::format("{}: {} = {}", where, field, has),
                        fmt::format("{}, as the layer that is trained", needs));
  };
  const LlamaConfig &a = found.block, &b = wanted.block;
  check("num_attention_heads", static_cast<double>(a.shape.heads),
        static_cast<double>(b.shape.heads));
  check("num_key_value_heads", static_cast<double>(a.shape.kv_heads),
        static_cast<double>(b.shape.kv_heads));
  check("rope_theta", a.rotary.theta, b.rotary.theta);
  check("rms_norm_eps", a.eps, b.eps);
  if (found.base_sha256 != wanted.base_sha256)
    log_warning(fmt::format("{}: a layer of a base with weights {}; here it begins for one with {}",
                            where, found.base_sha256.substr(0, 16),
                            wanted.base_sha256.substr(0, 16)));
}

}  // namespace

AdjustParameters::AdjustParameters(const AdjustConfig& config, std::uint64_t seed)
    : config_(config) {
  const DecoderShape& shape = config.block.shape;
  if (shape.kv_heads != shape.heads)
    throw ConfigError("num_key_value_heads", std::to_string(shape.kv_heads),
                      fmt::format("{}, the heads: only such layers are trained", shape.heads));
  if (config.block.qkv_bias != BiasKind::kPresent)
    throw ConfigError("adjust", "a layer without biases of q, k and v", "one with them");
  values_ = zero_tensors(shape.width, shape.inner);
  gradients_ = zero_tensors(shape.width, shape.inner);
  const std::vector<NamedTensor> values = by_name(values_), gradients = by_name(gradients_);
  for (std::size_t i = 0; i < values.size(); ++i) {
    initialise(values[i].name, values[i].tensor, seed);
    list_.push_back({values[i].name, values[i].tensor, gradients[i].tensor});
  }
}

void AdjustParameters::load(const std::string& folder, const DecoderShape& base) {
  const Checkpoint checkpoint = Checkpoint::open(folder);
  const std::string where = folder + "/config.json";
  check_same_layer(parse_adjust_config(parse_json(checkpoint.config_json, where), base, where),
                   config_, where);
  Weights weights(checkpoint, "");
  for (Parameter& parameter : list_) {
    const at::Tensor& value = parameter.value;
    const at::Tensor loaded = value.dim() == 1
                                  ? weights.take(parameter.name, {value.size(0)})
                                  : weights.take(parameter.name, {value.size(0), value.size(1)});
    value.copy_(materialise(loaded, at::kFloat, parameter.name));
  }
  weights.finish();
}

}  // namespace dlm
