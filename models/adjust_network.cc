#include "models/adjust_network.h"

#include <cmath>
#include <initializer_list>
#include <memory>
#include <utility>

#include <ATen/ops/cat.h>

#include <nlohmann/json.hpp>

#include "harness/base/error.h"
#include "models/transformer/config_fields.h"
#include "models/transformer/inference_scope.h"
#include "models/transformer/weight_loader.h"

namespace dlm {
namespace {

constexpr const char* kLayer = "layers.0.0.";
constexpr std::size_t kHexDigits = 64;

void check_hash(const std::string& hash, const std::string& where) {
  const bool hex = hash.find_first_not_of("0123456789abcdef") == std::string::npos;
  if (hash.size() != kHexDigits || !hex)
    throw DataError(where, -1, "'base_weights_sha256' of 64 hex digits",
                    std::string_view(hash).substr(0, 80));
}

LlamaNames layer_names() {
  LlamaNames names;
  names.layers = "layers.0.";
  return names;
}

void set_rotary(Decoder& layer, const AdjustConfig& config) {
  layer.shape = config.block.shape;
  layer.rotary =
      std::make_unique<RotaryTable>(config.block.rotary, layer.compute.dtype, layer.compute.device);
}

// Takes tensors by name from memory.
class NamedTensors {
 public:
  NamedTensors(const std::map<std::string, at::Tensor>& tensors, const AdjustConfig& config,
               const Compute& compute)
      : tensors_(tensors), shapes_(adjust_tensor_shapes(config)), compute_(compute) {}

  at::Tensor take(const std::string& name) const {
    const auto found = tensors_.find(name);
    if (found == tensors_.end())
      throw DataError(name, -1, "a tensor of the ADJUST layer", "nothing");
    const std::vector<std::int64_t>& shape = shapes_.at(name);
    if (found->second.sizes() != at::IntArrayRef(shape))
      throw DataError(name, -1, fmt::format("shape {}", fmt::join(shape, " x ")),
                      fmt::format("{}", fmt::join(found->second.sizes(), " x ")));
    return found->second.to(compute_.device, compute_.dtype, /*non_blocking=*/false, /*copy=*/true);
  }

  Linear linear(std::initializer_list<const char*> parts, const std::string& prefix,
                BiasKind bias) const {
    std::vector<at::Tensor> weights, biases;
    for (const char* part : parts) {
      weights.push_back(take(prefix + part + ".weight"));
      if (bias == BiasKind::kPresent)
        biases.push_back(take(prefix + part + ".bias"));
    }
    return make_linear(at::cat(weights, 0), biases.empty() ? at::Tensor() : at::cat(biases, 0),
                       compute_.backend);
  }

  Norm norm(const std::string& name, double eps) const {
    return {NormKind::kRms, take(name + ".weight"), {}, eps};
  }

 private:
  const std::map<std::string, at::Tensor>& tensors_;
  std::map<std::string, std::vector<std::int64_t>> shapes_;
  const Compute& compute_;
};

}  // namespace

AdjustConfig parse_adjust_config(const Json& config, const DecoderShape& base,
                                 const std::string& where) {
  const std::string type = json_string(config, "model_type", where);
  if (type != "adjust")
    throw ConfigError(where + ": model_type", type, "adjust");
  AdjustConfig out;
  out.base_sha256 = json_string(config, "base_weights_sha256", where);
  check_hash(out.base_sha256, where);
  DecoderShape& shape = out.block.shape;
  shape = base;
  shape.layers = 1;
  if (size_field_or(config, "hidden_size", base.width, where) != base.width)
    throw DataError(where, -1, fmt::format("'hidden_size' of the base, {}", base.width),
                    config["hidden_size"].dump());
  shape.inner = size_field_or(config, "intermediate_size", base.inner, where);
  shape.heads = size_field_or(config, "num_attention_heads", base.heads, where);
  shape.kv_heads = size_field_or(config, "num_key_value_heads", base.kv_heads, where);
  divided({"num_attention_heads", shape.heads}, {"num_key_value_heads", shape.kv_heads}, where);
  shape.head_dim =
      divided({"hidden_size", shape.width}, {"num_attention_heads", shape.heads}, where);
  if (shape.head_dim % 2 != 0)
    throw DataError(where, -1, "an even size of a head", std::to_string(shape.head_dim));
  out.block.rotary.head_dim = shape.head_dim;
  out.block.rotary.theta = positive_field_or(config, "rope_theta", 1e6, where);
  out.block.eps = positive_field_or(config, "rms_norm_eps", 1e-6, where);
  if (config.contains("trained_passes"))
    out.trained_passes = size_field(config, "trained_passes", where);
  return out;
}

Json adjust_config_json(const AdjustConfig& config) {
  const DecoderShape& shape = config.block.shape;
  Json json = {{"model_type", "adjust"},
               {"base_weights_sha256", config.base_sha256},
               {"hidden_size", shape.width},
               {"intermediate_size", shape.inner},
               {"num_attention_heads", shape.heads},
               {"num_key_value_heads", shape.kv_heads},
               {"rms_norm_eps", config.block.eps},
               {"rope_theta", config.block.rotary.theta}};
  if (config.trained_passes > 0)
    json["trained_passes"] = config.trained_passes;
  return json;
}

std::map<std::string, std::vector<std::int64_t>> adjust_tensor_shapes(const AdjustConfig& config) {
  const DecoderShape& shape = config.block.shape;
  const std::int64_t queries = shape.heads * shape.head_dim;
  const std::int64_t keys = shape.kv_heads * shape.head_dim;
  const std::string layer = kLayer;
  std::map<std::string, std::vector<std::int64_t>> shapes = {
      {"down_project.0.weight", {shape.width, 2 * shape.width}},
      {"down_project.0.bias", {shape.width}},
      {"norm_embed.0.weight", {shape.width}},
      {"norm_hidden.0.weight", {shape.width}},
      {"norm_postattn.0.weight", {shape.width}},
      {layer + "input_layernorm.weight", {shape.width}},
      {layer + "post_attention_layernorm.weight", {shape.width}},
      {layer + "self_attn.q_proj.weight", {queries, shape.width}},
      {layer + "self_attn.k_proj.weight", {keys, shape.width}},
      {layer + "self_attn.v_proj.weight", {keys, shape.width}},
      {layer + "self_attn.o_proj.weight", {shape.width, queries}},
      {layer + "mlp.gate_proj.weight", {shape.inner, shape.width}},
      {layer + "mlp.up_proj.weight", {shape.inner, shape.width}},
      {layer + "mlp.down_proj.weight", {shape.width, shape.inner}}};
  if (config.block.qkv_bias == BiasKind::kPresent) {
    shapes[layer + "self_attn.q_proj.bias"] = {queries};
    shapes[layer + "self_attn.k_proj.bias"] = {keys};
    shapes[layer + "self_attn.v_proj.bias"] = {keys};
  }
  return shapes;
}

AdjustNetwork load_adjust_network(const std::string& folder, const HiddenModel& base,
                                  const std::string& base_sha256) {
  const InferenceScope scope;
  const Checkpoint checkpoint = Checkpoint::open(folder);
  const std::string where = checkpoint.folder + "/config.json";
  AdjustNetwork network;
  network.config =
      parse_adjust_config(parse_json(checkpoint.config_json, where), base.network_shape(), where);
  const std::string& made_for = network.config.base_sha256;
  if (made_for != base_sha256)
    throw ConfigError(
        "adjust",
        fmt::format("{}, a layer of a base with weights {}", where, made_for.substr(0, 16)),
        fmt::format("a layer of this model, weights {}", base_sha256.substr(0, 16)));
  network.layer.compute = base.network_compute();
  WeightLoader loader(checkpoint, network.layer.compute);
  LlamaConfig& block = network.config.block;
  if (loader.has("layers.0.0.self_attn.q_proj.bias"))
    block.qkv_bias = BiasKind::kPresent;
  set_rotary(network.layer, network.config);
  const std::int64_t width = block.shape.width;
  network.project = loader.linear({"down_project.0", width}, 2 * width, BiasKind::kPresent);
  network.layer.blocks.push_back(load_llama_block(loader, block, layer_names(), 0));
  network.norm_embed = loader.norm("norm_embed.0", width, NormKind::kRms, block.eps);
  network.norm_hidden = loader.norm("norm_hidden.0", width, NormKind::kRms, block.eps);
  network.norm_postattn = loader.norm("norm_postattn.0", width, NormKind::kRms, block.eps);
  loader.finish();
  network.layer.parameters = loader.parameters();
  return network;
}

AdjustNetwork make_adjust_network(const AdjustConfig& config,
                                  const std::map<std::string, at::Tensor>& tensors,
                                  const Compute& compute) {
  const InferenceScope scope;
  const NamedTensors named(tensors, config, compute);
  const double eps = config.block.eps;
  AdjustNetwork network;
  network.config = config;
  network.layer.compute = compute;
  set_rotary(network.layer, config);
  network.project = named.linear({"down_project.0"}, "", BiasKind::kPresent);
  network.norm_embed = named.norm("norm_embed.0", eps);
  network.norm_hidden = named.norm("norm_hidden.0", eps);
  network.norm_postattn = named.norm("norm_postattn.0", eps);
  const std::string layer = kLayer;
  DecoderBlock block;
  block.attention_norm = named.norm(layer + "input_layernorm", eps);
  block.qkv = named.linear({"self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"}, layer,
                           config.block.qkv_bias);
  block.attention_out = named.linear({"self_attn.o_proj"}, layer, BiasKind::kAbsent);
  block.attention_scale = 1 / std::sqrt(static_cast<double>(config.block.shape.head_dim));
  block.mlp_norm = named.norm(layer + "post_attention_layernorm", eps);
  block.mlp.gate = named.linear({"mlp.gate_proj"}, layer, BiasKind::kAbsent);
  block.mlp.up = named.linear({"mlp.up_proj"}, layer, BiasKind::kAbsent);
  block.mlp.down = named.linear({"mlp.down_proj"}, layer, BiasKind::kAbsent);
  block.mlp.activation = Activation::kSilu;
  network.layer.blocks.push_back(std::move(block));
  for (const auto& [name, shape] : adjust_tensor_shapes(config)) {
    std::int64_t count = 1;
    for (const std::int64_t size : shape) count *= size;
    network.layer.parameters += count;
  }
  return network;
}

at::Tensor adjust_pass(const AdjustNetwork& network, const HiddenModel& base,
                       const PackedRows& rows, const at::Tensor& h) {
  const at::Tensor e = base.embedded(rows.ids);
  const at::Tensor u =
      at::cat({normalise(network.norm_embed, e), normalise(network.norm_hidden, h)}, 1);
  const at::Tensor z = decoder_blocks(network.layer, linear(network.project, u), rows, nullptr);
  return normalise(network.norm_postattn, z).add_(h);
}

double adjust_flops(const AdjustNetwork& network, const PackedRows& rows) {
  const auto width = static_cast<double>(network.layer.shape.width);
  return decoder_flops(network.layer.shape, rows, true) +
         4 * width * width * static_cast<double>(rows.tokens);
}

}  // namespace dlm
