#include "models/llama.h"

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

BiasKind bias_kind(bool present) {
  return present ? BiasKind::kPresent : BiasKind::kAbsent;
}

// Newer configs hold everything in rope_parameters, older ones in rope_scaling beside rope_theta.
RotaryConfig parse_rotary(const Json& config, std::int64_t head_dim, const std::string& where) {
  RotaryConfig rotary;
  rotary.head_dim = head_dim;
  const bool newer = config.contains("rope_parameters") && !config["rope_parameters"].is_null();
  const char* key = newer ? "rope_parameters" : "rope_scaling";
  const Json rope = config.value(key, Json(nullptr));
  if (!rope.is_null() && !rope.is_object())
    throw DataError(where, -1, fmt::format("an object '{}'", key), rope.dump().substr(0, 80));
  rotary.theta = positive_field_or(config, "rope_theta", 10000, where);
  rotary.theta = positive_field_or(rope, "rope_theta", rotary.theta, where);
  const std::string older_type = json_string_or(rope, "type", "default", where);
  const std::string type = json_string_or(rope, "rope_type", older_type, where);
  if (type == "default")
    return rotary;
  if (type != "linear" && type != "llama3") {
    throw ConfigError(fmt::format("{}: {}.rope_type", where, key), type,
                      "default, linear or llama3");
  }
  rotary.scaling = type == "linear" ? RotaryScaling::kLinear : RotaryScaling::kLlama3;
  rotary.factor = json_double(rope, "factor", where);
  if (!(rotary.factor >= 1))
    throw DataError(where, -1, "'factor' of at least 1", fmt::format("{}", rotary.factor));
  if (rotary.scaling == RotaryScaling::kLlama3) {
    rotary.low_frequency_factor = json_double(rope, "low_freq_factor", where);
    rotary.high_frequency_factor = json_double(rope, "high_freq_factor", where);
    rotary.original_max_length = size_field(rope, "original_max_position_embeddings", where);
    if (!(rotary.low_frequency_factor > 0 &&
          rotary.high_frequency_factor > rotary.low_frequency_factor)) {
      throw DataError(
          where, -1, "0 < 'low_freq_factor' < 'high_freq_factor'",
          fmt::format("{} and {}", rotary.low_frequency_factor, rotary.high_frequency_factor));
    }
  }
  return rotary;
}

DecoderShape parse_llama_shape(const Json& config, const LlamaDialect& dialect,
                               const std::string& where) {
  DecoderShape shape;
  shape.vocab_size = size_field(config, "vocab_size", where);
  shape.width = size_field(config, "hidden_size", where);
  shape.layers = size_field(config, "num_hidden_layers", where);
  shape.heads = size_field(config, "num_attention_heads", where);
  shape.kv_heads = size_field_or(config, "num_key_value_heads", shape.heads, where);
  shape.inner = size_field(config, "intermediate_size", where);
  shape.max_length =
      size_field_or(config, "max_position_embeddings", dialect.default_max_length, where);
  divided({"num_attention_heads", shape.heads}, {"num_key_value_heads", shape.kv_heads}, where);
  shape.head_dim =
      json_int_or(config, "head_dim", 0, where) > 0
          ? size_field(config, "head_dim", where)
          : divided({"hidden_size", shape.width}, {"num_attention_heads", shape.heads}, where);
  if (shape.head_dim % 2 != 0)
    throw DataError(where, -1, "an even size of a head", std::to_string(shape.head_dim));
  return shape;
}

bool is_rotary_buffer(std::string_view name) {
  return name.ends_with("rotary_emb.inv_freq");
}

}  // namespace

LlamaConfig parse_llama_config(const Json& config, const LlamaDialect& dialect,
                               const std::string& where) {
  LlamaConfig out;
  out.shape = parse_llama_shape(config, dialect, where);
  out.rotary = parse_rotary(config, out.shape.head_dim, where);
  out.eps = positive_field_or(config, "rms_norm_eps", 1e-6, where);
  const bool attention_bias = json_bool_or(config, "attention_bias", false, where);
  out.qkv_bias = bias_kind(dialect.always_biases_qkv || attention_bias);
  out.out_bias = bias_kind(!dialect.always_biases_qkv && attention_bias);
  out.mlp_bias = bias_kind(json_bool_or(config, "mlp_bias", false, where));
  out.tied = json_bool_or(config, "tie_word_embeddings", false, where);
  refuse_true(config, "use_sliding_window", where);
  const std::string activation = json_string_or(config, "hidden_act", "silu", where);
  if (activation != "silu")
    throw ConfigError(where + ": hidden_act", activation, "silu");
  const double rotated = json_double_or(config, "partial_rotary_factor", 1, where);
  if (rotated != 1)
    throw ConfigError(where + ": partial_rotary_factor", fmt::format("{}", rotated), "1");
  return out;
}

DecoderBlock load_llama_block(WeightLoader& loader, const LlamaConfig& config,
                              const LlamaNames& names, std::int64_t layer) {
  const DecoderShape& shape = config.shape;
  const std::int64_t query_width = shape.heads * shape.head_dim;
  const std::int64_t key_width = shape.kv_heads * shape.head_dim;
  const std::string name = fmt::format("{}{}.", names.layers, layer);
  const std::array<LinearPart, 3> qkv = {LinearPart{name + names.q, query_width},
                                         LinearPart{name + names.k, key_width},
                                         LinearPart{name + names.v, key_width}};
  DecoderBlock block;
  block.attention_norm =
      loader.norm(name + names.attention_norm, shape.width, NormKind::kRms, config.eps);
  block.qkv = loader.linear(qkv, shape.width, config.qkv_bias);
  block.attention_out =
      loader.linear({name + names.attention_out, shape.width}, query_width, config.out_bias);
  block.attention_scale = 1 / std::sqrt(static_cast<double>(shape.head_dim));
  block.mlp_norm = loader.norm(name + names.mlp_norm, shape.width, NormKind::kRms, config.eps);
  block.mlp.activation = Activation::kSilu;
  block.mlp.gate = loader.linear({name + names.gate, shape.inner}, shape.width, config.mlp_bias);
  block.mlp.up = loader.linear({name + names.up, shape.inner}, shape.width, config.mlp_bias);
  block.mlp.down = loader.linear({name + names.down, shape.width}, shape.inner, config.mlp_bias);
  loader.end_block();
  return block;
}

Decoder load_llama_decoder(const Checkpoint& checkpoint, const LlamaConfig& config,
                           const LlamaNames& names, const Compute& compute) {
  WeightLoader loader(checkpoint, compute);
  const DecoderShape& shape = config.shape;
  Decoder decoder;
  decoder.shape = shape;
  decoder.compute = compute;
  decoder.rotary = std::make_unique<RotaryTable>(config.rotary, compute.dtype, compute.device);
  const std::string embedding = names.embedding + ".weight";
  decoder.token_embedding = loader.tensor(embedding, {shape.vocab_size, shape.width});
  for (std::int64_t layer = 0; layer < shape.layers; ++layer)
    decoder.blocks.push_back(load_llama_block(loader, config, names, layer));
  decoder.final_norm = loader.norm(names.final_norm, shape.width, NormKind::kRms, config.eps);
  decoder.head =
      loader.head(names.head + ".weight", embedding, decoder.token_embedding, config.tied);
  loader.ignore(is_rotary_buffer);
  loader.finish();
  decoder.parameters = loader.parameters();
  return decoder;
}

LlamaNames llama_names(const Checkpoint& checkpoint) {
  LlamaNames names;
  if (!checkpoint.tensors.contains(names.embedding + ".weight")) {
    names.embedding = "embed_tokens";
    names.final_norm = "norm";
    names.layers = "layers.";
  }
  return names;
}

std::unique_ptr<AutoregressiveModel> load_llama_dialect(const Checkpoint& checkpoint,
                                                        const ModelOptions& options,
                                                        const LlamaDialect& dialect) {
  const InferenceScope scope;
  const std::string where = checkpoint.folder + "/config.json";
  const Json json = parse_json(checkpoint.config_json, where);
  const LlamaConfig config = parse_llama_config(json, dialect, where);
  Decoder decoder =
      load_llama_decoder(checkpoint, config, llama_names(checkpoint), resolve_compute(options));
  ModelInfo info = decoder_info(decoder, json, where);
  info.family = dialect.family;
  info.dtype = options.dtype;
  return std::make_unique<DecoderModel>(std::move(decoder), std::move(info));
}

std::unique_ptr<AutoregressiveModel> load_llama(const Checkpoint& checkpoint,
                                                const ModelOptions& options) {
  return load_llama_dialect(checkpoint, options, {.family = "llama"});
}

}  // namespace dlm
