#include "models/llada.h"

#include <array>
#include <string>
#include <utility>

#include <nlohmann/json.hpp>

#include "harness/base/error.h"
#include "models/llama.h"
#include "models/transformer/config_fields.h"
#include "models/transformer/decoder_model.h"
#include "models/transformer/inference_scope.h"

namespace dlm {
namespace {

struct FixedName {
  const char* key;
  const char* value;
};

constexpr std::array kFixed = {FixedName{"block_type", "llama"},
                               FixedName{"activation_type", "silu"},
                               FixedName{"layer_norm_type", "rms"}};

// Switches of config.json that the published models leave off.
constexpr std::array kRefused = {"alibi",          "attention_layer_norm", "bias_for_layer_norm",
                                 "input_emb_norm", "scale_logits",         "include_bias"};

void check_supported(const Json& config, const std::string& where) {
  for (const FixedName& fixed : kFixed) {
    const std::string value = json_string_or(config, fixed.key, fixed.value, where);
    if (value != fixed.value)
      throw ConfigError(fmt::format("{}: {}", where, fixed.key), value, fixed.value);
  }
  for (const char* key : kRefused) refuse_true(config, key, where);
  if (!json_bool_or(config, "rope", true, where))
    throw ConfigError(where + ": rope", "false", "true");
  if (json_int_or(config, "block_group_size", 1, where) != 1)
    throw ConfigError(where + ": block_group_size", "another", "1");
}

// The head may have more rows than the vocabulary: embedding_size of them.
LlamaConfig parse_llada_config(const Json& config, const std::string& where) {
  check_supported(config, where);
  LlamaConfig out;
  DecoderShape& shape = out.shape;
  shape.vocab_size =
      size_field_or(config, "embedding_size", size_field(config, "vocab_size", where), where);
  shape.width = size_field(config, "d_model", where);
  shape.layers = size_field(config, "n_layers", where);
  shape.heads = size_field(config, "n_heads", where);
  shape.kv_heads = size_field_or(config, "n_kv_heads", shape.heads, where);
  shape.inner = size_field(config, "mlp_hidden_size", where);
  shape.max_length = size_field(config, "max_sequence_length", where);
  divided({"n_heads", shape.heads}, {"n_kv_heads", shape.kv_heads}, where);
  shape.head_dim = divided({"d_model", shape.width}, {"n_heads", shape.heads}, where);
  if (shape.head_dim % 2 != 0)
    throw DataError(where, -1, "an even size of a head", std::to_string(shape.head_dim));
  out.rotary.head_dim = shape.head_dim;
  out.rotary.theta = positive_field_or(config, "rope_theta", 10000, where);
  out.eps = positive_field_or(config, "rms_norm_eps", 1e-5, where);
  out.qkv_bias = json_bool_or(config, "include_qkv_bias", false, where) ? BiasKind::kPresent
                                                                        : BiasKind::kAbsent;
  out.tied = json_bool_or(config, "weight_tying", false, where);
  return out;
}

// "ff_out" is a layer's down projection inside a block, the head outside of one.
LlamaNames llada_names() {
  const std::string prefix = "model.transformer.";
  LlamaNames names;
  names.embedding = prefix + "wte";
  names.final_norm = prefix + "ln_f";
  names.head = prefix + "ff_out";
  names.layers = prefix + "blocks.";
  names.attention_norm = "attn_norm";
  names.q = "q_proj";
  names.k = "k_proj";
  names.v = "v_proj";
  names.attention_out = "attn_out";
  names.mlp_norm = "ff_norm";
  names.gate = "ff_proj";
  names.up = "up_proj";
  names.down = "ff_out";
  return names;
}

}  // namespace

std::unique_ptr<CanvasModel> load_llada(const Checkpoint& checkpoint, const ModelOptions& options) {
  const InferenceScope scope;
  const std::string where = checkpoint.folder + "/config.json";
  const Json json = parse_json(checkpoint.config_json, where);
  const LlamaConfig config = parse_llada_config(json, where);
  const CanvasTraits traits{mask_id_field(json, config.shape.vocab_size, where), LogitShift::kNone,
                            mask_logit_of(options)};
  Decoder decoder = load_llama_decoder(checkpoint, config, llada_names(), resolve_compute(options));
  ModelInfo info = decoder_info(decoder, json, where);
  info.family = "llada";
  info.dtype = options.dtype;
  info.is_bound = true;
  return std::make_unique<CanvasModel>(std::move(decoder), std::move(info), traits);
}

}  // namespace dlm
