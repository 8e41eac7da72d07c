#include "models/gpt2.h"

#include <array>
#include <cmath>
#include <string>
#include <utility>

#include <nlohmann/json.hpp>

#include "harness/base/error.h"
#include "models/transformer/config_fields.h"
#include "models/transformer/decoder_model.h"
#include "models/transformer/inference_scope.h"
#include "models/transformer/weight_loader.h"

namespace dlm {
namespace {

struct Gpt2Config {
  DecoderShape shape;
  double eps = 1e-5;
  Activation activation = Activation::kGeluTanh;
  bool scales_attention = true;          // by 1 / sqrt(head_dim)
  bool scales_by_inverse_layer = false;  // and by 1 / (layer + 1)
  bool tied = true;
};

Activation gpt2_activation(const Json& config, const std::string& where) {
  const std::string name = json_string_or(config, "activation_function", "gelu_new", where);
  if (name == "gelu_new" || name == "gelu_pytorch_tanh")
    return Activation::kGeluTanh;
  if (name == "gelu")
    return Activation::kGelu;
  throw ConfigError(where + ": activation_function", name, "gelu_new, gelu_pytorch_tanh or gelu");
}

Gpt2Config parse_gpt2_config(const Json& config, const std::string& where) {
  Gpt2Config out;
  DecoderShape& shape = out.shape;
  shape.vocab_size = size_field(config, "vocab_size", where);
  shape.width = size_field(config, "n_embd", where);
  shape.layers = size_field(config, "n_layer", where);
  shape.heads = size_field(config, "n_head", where);
  shape.kv_heads = shape.heads;
  shape.head_dim = divided({"n_embd", shape.width}, {"n_head", shape.heads}, where);
  shape.inner = size_field_or(config, "n_inner", 4 * shape.width, where);
  shape.max_length = size_field(config, "n_positions", where);
  out.eps = positive_field_or(config, "layer_norm_epsilon", 1e-5, where);
  out.activation = gpt2_activation(config, where);
  out.scales_attention = json_bool_or(config, "scale_attn_weights", true, where);
  out.scales_by_inverse_layer =
      json_bool_or(config, "scale_attn_by_inverse_layer_idx", false, where);
  out.tied = json_bool_or(config, "tie_word_embeddings", true, where);
  refuse_true(config, "add_cross_attention", where);
  return out;
}

DecoderBlock load_gpt2_block(WeightLoader& loader, const Gpt2Config& config,
                             const std::string& prefix, std::int64_t layer) {
  const DecoderShape& shape = config.shape;
  const std::string name = fmt::format("{}h.{}.", prefix, layer);
  DecoderBlock block;
  block.attention_norm = loader.norm(name + "ln_1", shape.width, NormKind::kLayer, config.eps);
  block.qkv = loader.conv1d(name + "attn.c_attn", shape.width, 3 * shape.width);
  block.attention_out = loader.conv1d(name + "attn.c_proj", shape.width, shape.width);
  block.attention_scale =
      config.scales_attention ? 1 / std::sqrt(static_cast<double>(shape.head_dim)) : 1.0;
  if (config.scales_by_inverse_layer)
    block.attention_scale /= static_cast<double>(layer + 1);
  block.mlp_norm = loader.norm(name + "ln_2", shape.width, NormKind::kLayer, config.eps);
  block.mlp.activation = config.activation;
  block.mlp.up = loader.conv1d(name + "mlp.c_fc", shape.width, shape.inner);
  block.mlp.down = loader.conv1d(name + "mlp.c_proj", shape.inner, shape.width);
  loader.end_block();
  return block;
}

bool is_mask_buffer(std::string_view name) {
  return name.ends_with(".attn.bias") || name.ends_with(".attn.masked_bias");
}

Decoder load_gpt2_decoder(const Checkpoint& checkpoint, const Gpt2Config& config,
                          const Compute& compute) {
  WeightLoader loader(checkpoint, compute);
  const std::string prefix = loader.has("transformer.wte.weight") ? "transformer." : "";
  const DecoderShape& shape = config.shape;
  Decoder decoder;
  decoder.shape = shape;
  decoder.compute = compute;
  decoder.token_embedding = loader.tensor(prefix + "wte.weight", {shape.vocab_size, shape.width});
  decoder.position_embedding =
      loader.tensor(prefix + "wpe.weight", {shape.max_length, shape.width});
  for (std::int64_t layer = 0; layer < shape.layers; ++layer)
    decoder.blocks.push_back(load_gpt2_block(loader, config, prefix, layer));
  decoder.final_norm = loader.norm(prefix + "ln_f", shape.width, NormKind::kLayer, config.eps);
  decoder.head =
      loader.head("lm_head.weight", prefix + "wte.weight", decoder.token_embedding, config.tied);
  loader.ignore(is_mask_buffer);
  loader.finish();
  decoder.parameters = loader.parameters();
  return decoder;
}

}  // namespace

std::unique_ptr<AutoregressiveModel> load_gpt2(const Checkpoint& checkpoint,
                                               const ModelOptions& options) {
  const InferenceScope scope;
  const std::string where = checkpoint.folder + "/config.json";
  const Json json = parse_json(checkpoint.config_json, where);
  const Gpt2Config config = parse_gpt2_config(json, where);
  Decoder decoder = load_gpt2_decoder(checkpoint, config, resolve_compute(options));
  ModelInfo info = decoder_info(decoder, json, where);
  info.family = "gpt2";
  info.dtype = options.dtype;
  return std::make_unique<DecoderModel>(std::move(decoder), std::move(info));
}

}  // namespace dlm
