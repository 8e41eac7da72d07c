#include "tests/models/canvas/random_canvas.h"

#include <cstddef>
#include <filesystem>
#include <functional>
#include <map>
#include <span>
#include <vector>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "harness/base/file.h"
#include "harness/base/json.h"
#include "harness/base/random.h"
#include "models/checkpoint/safetensors.h"

namespace dlm::testing {
namespace {

using Shapes = std::map<std::string, std::vector<std::int64_t>>;
using Values = std::map<std::string, std::vector<float>>;

constexpr std::int64_t kWidth = 32;
constexpr std::int64_t kKeys = 16;
constexpr std::int64_t kInner = 48;

Values random_values(const Shapes& shapes) {
  Values values;
  for (const auto& [name, shape] : shapes) {
    const RandomStream stream(5, Purpose::kWeights, std::hash<std::string>()(name));
    std::int64_t count = 1;
    for (const std::int64_t n : shape) count *= n;
    const bool norm = shape.size() == 1 && !name.ends_with("bias");
    for (std::int64_t i = 0; i < count; ++i) {
      const double draw = stream.normal(0, static_cast<std::uint64_t>(i));
      values[name].push_back(static_cast<float>(norm ? 1 + 0.1 * draw : 0.3 * draw));
    }
  }
  return values;
}

void write_folder(const std::string& folder, const Json& config, const Shapes& shapes,
                  const Values& values) {
  std::filesystem::create_directories(folder);
  write_file_atomically(folder + "/config.json", config.dump());
  std::map<std::string, TensorToWrite> tensors;
  for (const auto& [name, shape] : shapes)
    tensors[name] = {Dtype::kF32, shape, std::as_bytes(std::span(values.at(name)))};
  write_safetensors(folder + "/model.safetensors", tensors);
}

void add_layer(Shapes& shapes, const std::string& name) {
  shapes[name + "input_layernorm.weight"] = {kWidth};
  shapes[name + "post_attention_layernorm.weight"] = {kWidth};
  shapes[name + "self_attn.q_proj.weight"] = {kWidth, kWidth};
  shapes[name + "self_attn.q_proj.bias"] = {kWidth};
  shapes[name + "self_attn.k_proj.weight"] = {kKeys, kWidth};
  shapes[name + "self_attn.k_proj.bias"] = {kKeys};
  shapes[name + "self_attn.v_proj.weight"] = {kKeys, kWidth};
  shapes[name + "self_attn.v_proj.bias"] = {kKeys};
  shapes[name + "self_attn.o_proj.weight"] = {kWidth, kWidth};
  shapes[name + "mlp.gate_proj.weight"] = {kInner, kWidth};
  shapes[name + "mlp.up_proj.weight"] = {kInner, kWidth};
  shapes[name + "mlp.down_proj.weight"] = {kWidth, kInner};
}

}  // namespace

void write_random_dream(const std::string& folder, std::int64_t vocab_size) {
  Shapes shapes = {{"model.embed_tokens.weight", {vocab_size, kWidth}},
                   {"model.norm.weight", {kWidth}},
                   {"lm_head.weight", {vocab_size, kWidth}}};
  for (int layer = 0; layer < 2; ++layer) add_layer(shapes, fmt::format("model.layers.{}.", layer));
  const Json config = {{"model_type", "Dream"},
                       {"vocab_size", vocab_size},
                       {"hidden_size", kWidth},
                       {"intermediate_size", kInner},
                       {"num_hidden_layers", 2},
                       {"num_attention_heads", 4},
                       {"num_key_value_heads", 2},
                       {"max_position_embeddings", 64},
                       {"mask_token_id", vocab_size - 2},
                       {"eos_token_id", vocab_size - 3},
                       {"rope_theta", 1e6},
                       {"tie_word_embeddings", false}};
  write_folder(folder, config, shapes, random_values(shapes));
}

void write_random_llada(const std::string& folder, std::int64_t vocab_size) {
  const std::string prefix = "model.transformer.";
  Shapes shapes = {{prefix + "wte.weight", {vocab_size, kWidth}},
                   {prefix + "ln_f.weight", {kWidth}},
                   {prefix + "ff_out.weight", {vocab_size, kWidth}}};
  for (int layer = 0; layer < 2; ++layer) {
    const std::string name = fmt::format("{}blocks.{}.", prefix, layer);
    for (const char* norm : {"attn_norm", "ff_norm"}) shapes[name + norm + ".weight"] = {kWidth};
    for (const char* square : {"q_proj", "k_proj", "v_proj", "attn_out"})
      shapes[name + square + ".weight"] = {kWidth, kWidth};
    for (const char* up : {"ff_proj", "up_proj"}) shapes[name + up + ".weight"] = {kInner, kWidth};
    shapes[name + "ff_out.weight"] = {kWidth, kInner};
  }
  const Json config = {{"model_type", "llada"},
                       {"vocab_size", vocab_size},
                       {"d_model", kWidth},
                       {"mlp_hidden_size", kInner},
                       {"n_layers", 2},
                       {"n_heads", 4},
                       {"n_kv_heads", 4},
                       {"max_sequence_length", 64},
                       {"mask_token_id", vocab_size - 2},
                       {"eos_token_id", vocab_size - 3},
                       {"rope_theta", 5e5},
                       {"rms_norm_eps", 1e-5}};
  write_folder(folder, config, shapes, random_values(shapes));
}

void write_random_adjust(const std::string& folder, const std::string& base_sha256,
                         double post_norm, const std::string& missing) {
  Shapes shapes = {{"down_project.0.weight", {kWidth, 2 * kWidth}},
                   {"down_project.0.bias", {kWidth}},
                   {"norm_embed.0.weight", {kWidth}},
                   {"norm_hidden.0.weight", {kWidth}},
                   {"norm_postattn.0.weight", {kWidth}}};
  add_layer(shapes, "layers.0.0.");
  shapes.erase(missing);
  Values values = random_values(shapes);
  if (missing != "norm_postattn.0.weight")
    values["norm_postattn.0.weight"].assign(kWidth, static_cast<float>(post_norm));
  const Json config = {{"model_type", "adjust"},
                       {"base_weights_sha256", base_sha256},
                       {"num_attention_heads", 4},
                       {"num_key_value_heads", 2},
                       {"intermediate_size", kInner}};
  write_folder(folder, config, shapes, values);
}

}  // namespace dlm::testing
