#include "tests/models/dit/random_dit.h"

#include <filesystem>
#include <functional>
#include <span>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "harness/base/file.h"
#include "harness/base/json.h"
#include "harness/base/random.h"
#include "models/checkpoint/safetensors.h"

namespace dlm::testing {
namespace {

std::vector<float> random_values(const std::string& name, std::int64_t count,
                                 const RandomDit& dit) {
  const RandomStream stream(dit.seed, Purpose::kWeights, std::hash<std::string>()(name));
  const bool norm = name.find("norm") != std::string::npos;
  const bool gates = name.find("blocks.") != std::string::npos &&
                     name.find("adaLN_modulation.bias") != std::string::npos;
  std::vector<float> values;
  for (std::int64_t i = 0; i < count; ++i) {
    const double draw = stream.normal(0, static_cast<std::uint64_t>(i));
    const std::int64_t part = i / dit.width;
    const double middle = norm ? 1 : gates && (part == 2 || part == 5) ? 0.8 : 0;
    values.push_back(static_cast<float>(middle + (norm ? 0.1 : dit.scale) * draw));
  }
  return values;
}

}  // namespace

std::map<std::string, std::vector<std::int64_t>> dit_shapes(const RandomDit& dit) {
  std::map<std::string, std::vector<std::int64_t>> shapes;
  const std::int64_t width = dit.width;
  const std::string& prefix = dit.prefix;
  const bool adaln = dit.adaln && !dit.causal;
  const auto modulation = [&](const std::string& name, std::int64_t parts) {
    if (!adaln)
      return;
    shapes[prefix + name + "adaLN_modulation.weight"] = {parts * width, dit.cond_dim};
    shapes[prefix + name + "adaLN_modulation.bias"] = {parts * width};
  };
  shapes[prefix + "vocab_embed.embedding"] = {dit.vocab_size, width};
  shapes[prefix + "rotary_emb.inv_freq"] = {width / dit.heads / 2};
  if (adaln) {
    shapes[prefix + "sigma_map.mlp.0.weight"] = {dit.cond_dim, 256};
    shapes[prefix + "sigma_map.mlp.0.bias"] = {dit.cond_dim};
    shapes[prefix + "sigma_map.mlp.2.weight"] = {dit.cond_dim, dit.cond_dim};
    shapes[prefix + "sigma_map.mlp.2.bias"] = {dit.cond_dim};
  }
  for (std::int64_t layer = 0; layer < dit.layers; ++layer) {
    const std::string name = fmt::format("blocks.{}.", layer);
    shapes[prefix + name + "norm1.weight"] = {width};
    shapes[prefix + name + "norm2.weight"] = {width};
    shapes[prefix + name + "attn_qkv.weight"] = {3 * width, width};
    shapes[prefix + name + "attn_out.weight"] = {width, width};
    shapes[prefix + name + "mlp.0.weight"] = {4 * width, width};
    shapes[prefix + name + "mlp.0.bias"] = {4 * width};
    shapes[prefix + name + "mlp.2.weight"] = {width, 4 * width};
    shapes[prefix + name + "mlp.2.bias"] = {width};
    modulation(name, 6);
  }
  shapes[prefix + "output_layer.norm_final.weight"] = {width};
  shapes[prefix + "output_layer.linear.weight"] = {dit.vocab_size, width};
  shapes[prefix + "output_layer.linear.bias"] = {dit.vocab_size};
  modulation("output_layer.", 2);
  if (dit.model_type == "bd3lm" && dit.variance_search) {
    shapes["sampling_eps_min"] = {};
    shapes["sampling_eps_max"] = {};
  }
  return shapes;
}

void write_random_dit(const std::string& folder, const RandomDit& dit) {
  Json config = {{"model_type", dit.model_type}, {"vocab_size", dit.vocab_size},
                 {"model_length", dit.length},   {"hidden_dim", dit.width},
                 {"cond_dim", dit.cond_dim},     {"n_blocks", dit.layers},
                 {"n_heads", dit.heads},         {"time_conditioning", dit.time_conditioning}};
  if (dit.model_type == "bd3lm") {
    config.update({{"block_size", dit.block_size},
                   {"causal", dit.causal},
                   {"cross_attn", dit.cross_attention},
                   {"adaln", dit.adaln},
                   {"var_min", dit.variance_search}});
  }
  std::map<std::string, std::vector<float>> values;
  std::map<std::string, TensorToWrite> tensors;
  for (const auto& [name, shape] : dit_shapes(dit)) {
    std::int64_t count = 1;
    for (const std::int64_t size : shape) count *= size;
    values[name] = random_values(name, count, dit);
    tensors[name] = {Dtype::kF32, shape, std::as_bytes(std::span(values[name]))};
  }
  std::filesystem::create_directories(folder);
  write_file_atomically(folder + "/config.json", config.dump(1) + "\n");
  write_safetensors(folder + "/model.safetensors", tensors);
}

}  // namespace dlm::testing
