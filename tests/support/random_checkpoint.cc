#include "tests/support/random_checkpoint.h"

#include <bit>
#include <cstddef>
#include <cstring>
#include <filesystem>
#include <functional>
#include <span>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "harness/base/error.h"
#include "harness/base/file.h"
#include "harness/base/random.h"
#include "models/checkpoint/safetensors.h"

namespace dlm::testing {
namespace {

using Shapes = std::map<std::string, std::vector<std::int64_t>>;

std::int64_t head_dim_of(const RandomModel& model) {
  return model.head_dim > 0 ? model.head_dim : model.width / model.heads;
}

void add_norm(Shapes& shapes, const std::string& name, std::int64_t width) {
  shapes[name + ".weight"] = {width};
  shapes[name + ".bias"] = {width};
}

void add_conv1d(Shapes& shapes, const std::string& name, std::int64_t inputs,
                std::int64_t outputs) {
  shapes[name + ".weight"] = {inputs, outputs};
  shapes[name + ".bias"] = {outputs};
}

Shapes gpt2_shapes(const RandomModel& model) {
  const std::int64_t width = model.width;
  Shapes shapes;
  shapes["transformer.wte.weight"] = {model.vocab_size, width};
  shapes["transformer.wpe.weight"] = {model.max_length, width};
  for (std::int64_t layer = 0; layer < model.layers; ++layer) {
    const std::string name = fmt::format("transformer.h.{}.", layer);
    add_norm(shapes, name + "ln_1", width);
    add_conv1d(shapes, name + "attn.c_attn", width, 3 * width);
    add_conv1d(shapes, name + "attn.c_proj", width, width);
    add_norm(shapes, name + "ln_2", width);
    add_conv1d(shapes, name + "mlp.c_fc", width, model.inner);
    add_conv1d(shapes, name + "mlp.c_proj", model.inner, width);
  }
  add_norm(shapes, "transformer.ln_f", width);
  return shapes;
}

void add_linear(Shapes& shapes, const std::string& name, std::vector<std::int64_t> shape,
                bool bias) {
  if (bias)
    shapes[name + ".bias"] = {shape.front()};
  shapes[name + ".weight"] = std::move(shape);
}

Shapes llama_shapes(const RandomModel& model) {
  const std::int64_t width = model.width;
  const std::int64_t queries = model.heads * head_dim_of(model);
  const std::int64_t keys = model.kv_heads * head_dim_of(model);
  const bool qkv_bias = model.family == "qwen2" || model.family == "dream" || model.attention_bias;
  Shapes shapes;
  shapes["model.embed_tokens.weight"] = {model.vocab_size, width};
  for (std::int64_t layer = 0; layer < model.layers; ++layer) {
    const std::string name = fmt::format("model.layers.{}.", layer);
    shapes[name + "input_layernorm.weight"] = {width};
    shapes[name + "post_attention_layernorm.weight"] = {width};
    add_linear(shapes, name + "self_attn.q_proj", {queries, width}, qkv_bias);
    add_linear(shapes, name + "self_attn.k_proj", {keys, width}, qkv_bias);
    add_linear(shapes, name + "self_attn.v_proj", {keys, width}, qkv_bias);
    add_linear(shapes, name + "self_attn.o_proj", {width, queries}, model.attention_bias);
    add_linear(shapes, name + "mlp.gate_proj", {model.inner, width}, model.mlp_bias);
    add_linear(shapes, name + "mlp.up_proj", {model.inner, width}, model.mlp_bias);
    add_linear(shapes, name + "mlp.down_proj", {width, model.inner}, model.mlp_bias);
  }
  shapes["model.norm.weight"] = {width};
  return shapes;
}

bool is_norm_weight(const std::string& name) {
  return name.ends_with(".weight") &&
         (name.find("norm") != std::string::npos || name.find(".ln_") != std::string::npos);
}

// Round to nearest even; the values are finite.
std::uint16_t to_bf16(float value) {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  return static_cast<std::uint16_t>((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16);
}

std::vector<std::byte> random_values(const std::string& name, std::int64_t count,
                                     const RandomModel& model) {
  const RandomStream stream(model.seed, Purpose::kWeights, std::hash<std::string>()(name));
  const bool norm = is_norm_weight(name);
  const std::size_t size = model.dtype == "BF16" ? 2 : 4;
  std::vector<std::byte> bytes(static_cast<std::size_t>(count) * size);
  if (model.zero_biases && name.ends_with(".bias"))
    return bytes;
#pragma omp parallel for
  for (std::int64_t i = 0; i < count; ++i) {
    const double draw = stream.normal(0, static_cast<std::uint64_t>(i));
    const auto value = static_cast<float>(norm ? 1 + 0.1 * draw : model.scale * draw);
    std::byte* at = bytes.data() + static_cast<std::size_t>(i) * size;
    const std::uint16_t half = to_bf16(value);
    std::memcpy(at, size == 2 ? static_cast<const void*>(&half) : &value, size);
  }
  return bytes;
}

}  // namespace

std::map<std::string, std::vector<std::int64_t>> tensor_shapes(const RandomModel& model) {
  Shapes shapes = model.family == "gpt2" ? gpt2_shapes(model) : llama_shapes(model);
  if (!model.tied)
    shapes["lm_head.weight"] = {model.vocab_size, model.width};
  return shapes;
}

Json random_config(const RandomModel& model) {
  Json config = {{"model_type", model.family},
                 {"vocab_size", model.vocab_size},
                 {"tie_word_embeddings", model.tied},
                 {"bos_token_id", 1},
                 {"eos_token_id", 2}};
  if (model.family == "gpt2") {
    config.update({{"n_embd", model.width},
                   {"n_layer", model.layers},
                   {"n_head", model.heads},
                   {"n_inner", model.inner},
                   {"n_positions", model.max_length},
                   {"activation_function", "gelu_new"},
                   {"layer_norm_epsilon", 1e-5}});
    return config;
  }
  config.update({{"hidden_size", model.width},
                 {"num_hidden_layers", model.layers},
                 {"num_attention_heads", model.heads},
                 {"num_key_value_heads", model.kv_heads},
                 {"head_dim", head_dim_of(model)},
                 {"intermediate_size", model.inner},
                 {"max_position_embeddings", model.max_length},
                 {"hidden_act", "silu"},
                 {"rms_norm_eps", 1e-5},
                 {"rope_theta", 10000.0}});
  if (model.family == "dream")
    config.update({{"model_type", "Dream"}, {"mask_token_id", model.vocab_size - 1}});
  if (model.family == "llama")
    config.update({{"attention_bias", model.attention_bias}, {"mlp_bias", model.mlp_bias}});
  return config;
}

void write_random_checkpoint(const std::string& folder, const RandomModel& model,
                             const Json& config) {
  DLM_CHECK(model.dtype == "F32" || model.dtype == "BF16", "dtype {}", model.dtype);
  std::map<std::string, std::vector<std::byte>> values;
  std::map<std::string, TensorToWrite> tensors;
  for (const auto& [name, shape] : tensor_shapes(model)) {
    std::int64_t count = 1;
    for (const std::int64_t size : shape) count *= size;
    values[name] = random_values(name, count, model);
    tensors[name] = {model.dtype == "BF16" ? Dtype::kBf16 : Dtype::kF32, shape, values[name]};
  }
  std::filesystem::create_directories(folder);
  write_file_atomically(folder + "/config.json", config.dump(1) + "\n");
  write_safetensors(folder + "/model.safetensors", tensors);
}

void write_random_checkpoint(const std::string& folder, const RandomModel& model) {
  write_random_checkpoint(folder, model, random_config(model));
}

}  // namespace dlm::testing
