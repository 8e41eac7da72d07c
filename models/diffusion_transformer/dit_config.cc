#include "models/diffusion_transformer/dit_config.h"

#include <array>

#include <nlohmann/json.hpp>

#include "harness/base/error.h"
#include "models/transformer/config_fields.h"

namespace dlm {
namespace {

bool is_hydra(const Json& config) {
  return !config.contains("model_type") && config.contains("graph") && config.contains("tokens") &&
         config.contains("model");
}

void finish_shape(DecoderShape& shape, const std::string& where) {
  shape.kv_heads = shape.heads;
  shape.head_dim = divided({"hidden width", shape.width}, {"n_heads", shape.heads}, where);
  if (shape.head_dim % 2 != 0) {
    throw DataError(where, -1, "an even head width, for rotary positions",
                    std::to_string(shape.head_dim));
  }
  shape.inner = 4 * shape.width;
}

DitConfig parse_hydra(const Json& config, const std::string& where) {
  const Json& graph = config.at("graph");
  const Json& model = config.at("model");
  if (!graph.is_object() || !model.is_object())
    throw DataError(where, -1, "objects 'graph' and 'model'", "something else");
  const std::string type = json_string(graph, "type", where);
  if (type != "absorb")
    throw ConfigError(where + ": graph.type", type, "absorb");
  DitConfig out;
  out.shape.vocab_size = size_field(config, "tokens", where) + 1;
  out.shape.width = size_field(model, "hidden_size", where);
  out.shape.layers = size_field(model, "n_blocks", where);
  out.shape.heads = size_field(model, "n_heads", where);
  out.shape.max_length = size_field(model, "length", where);
  out.cond_dim = size_field(model, "cond_dim", where);
  out.block_size = out.shape.max_length;
  out.cross_attention = false;
  out.time_conditioning = true;
  out.parameterization = DitParameterization::kSedd;
  out.noise = NoiseConvention::kSmoothed;
  out.scale_by_sigma = json_bool_or(model, "scale_by_sigma", true, where);
  return out;
}

DitConfig parse_hugging_face(const Json& config, const std::string& where) {
  const bool mdlm = json_string(config, "model_type", where) == "mdlm";
  DitConfig out;
  out.shape.vocab_size = size_field(config, "vocab_size", where);
  out.shape.width = size_field(config, "hidden_dim", where);
  out.shape.layers = size_field(config, "n_blocks", where);
  out.shape.heads = size_field(config, "n_heads", where);
  out.shape.max_length = size_field(config, "model_length", where);
  out.cond_dim = size_field_or(config, "cond_dim", 128, where);
  out.block_size = size_field_or(config, "block_size", out.shape.max_length, where);
  out.causal = json_bool_or(config, "causal", false, where);
  out.cross_attention = json_bool_or(config, "cross_attn", !mdlm, where) && !out.causal;
  // The published code gives its causal blocks no conditioning whatever the key says.
  out.adaln = json_bool_or(config, "adaln", true, where) && !out.causal;
  out.time_conditioning = json_bool_or(config, "time_conditioning", false, where) && out.adaln;
  const bool variance_search = json_bool_or(config, "var_min", true, where);
  if (!mdlm && out.time_conditioning && !out.cross_attention && !variance_search)
    out.parameterization = DitParameterization::kSedd;
  out.noise = mdlm ? NoiseConvention::kSmoothed : NoiseConvention::kClipped;
  return out;
}

void apply_options(DitConfig& config, const ModelOptions& options) {
  const std::array<std::string, 3> outputs = {"auto", "subs", "sedd"};
  if (options.parameterization == "subs") {
    config.parameterization = DitParameterization::kSubs;
  } else if (options.parameterization == "sedd") {
    config.parameterization = DitParameterization::kSedd;
  } else if (options.parameterization != "auto") {
    throw unknown_name("parameterization", options.parameterization, outputs);
  }
  const std::array<std::string, 3> conventions = {"auto", "clipped", "smoothed"};
  if (options.noise == "clipped") {
    config.noise = NoiseConvention::kClipped;
  } else if (options.noise == "smoothed") {
    config.noise = NoiseConvention::kSmoothed;
  } else if (options.noise != "auto") {
    throw unknown_name("noise", options.noise, conventions);
  }
}

}  // namespace

std::string dit_model_type(const Json& config, const std::string& where) {
  return is_hydra(config) ? "sedd" : json_string(config, "model_type", where);
}

DitConfig parse_dit_config(const Json& config, const ModelOptions& options,
                           const std::string& where) {
  DitConfig out = is_hydra(config) ? parse_hydra(config, where) : parse_hugging_face(config, where);
  finish_shape(out.shape, where);
  apply_options(out, options);
  const std::int64_t last = out.shape.vocab_size - 1;
  out.mask_id = json_int_or(config, "mask_token_id", last, where);
  if (out.mask_id < 0 || out.mask_id > last) {
    throw DataError(where, -1, fmt::format("'mask_token_id' from 0 to {}", last),
                    std::to_string(out.mask_id));
  }
  if (out.cross_attention && out.shape.max_length % out.block_size != 0) {
    throw DataError(where, -1, "'model_length' a multiple of 'block_size'",
                    fmt::format("{} and {}", out.shape.max_length, out.block_size));
  }
  return out;
}

}  // namespace dlm
