#include "tests/models/adjust/random_adjust.h"

#include <cstddef>
#include <filesystem>
#include <span>
#include <vector>

#include <ATen/ops/empty.h>

#include <nlohmann/json.hpp>

#include "harness/base/file.h"
#include "harness/base/json.h"
#include "harness/base/random.h"
#include "models/checkpoint/safetensors.h"

namespace dlm::testing {

AdjustConfig random_adjust_config(const BlockDenoiser& base, const std::string& base_sha256) {
  const Json json = {{"model_type", "adjust"},   {"base_weights_sha256", base_sha256},
                     {"num_attention_heads", 2}, {"num_key_value_heads", 1},
                     {"intermediate_size", 20},  {"rope_theta", 1e4}};
  AdjustConfig config =
      parse_adjust_config(json, hidden_model_of(base).network_shape(), "config.json");
  config.block.qkv_bias = BiasKind::kPresent;
  return config;
}

std::map<std::string, at::Tensor> random_adjust_tensors(const AdjustConfig& config,
                                                        double post_norm) {
  std::map<std::string, at::Tensor> tensors;
  std::uint64_t index = 0;
  for (const auto& [name, shape] : adjust_tensor_shapes(config)) {
    const RandomStream stream(5, Purpose::kWeights, index++);
    at::Tensor tensor = at::empty(shape, at::kFloat);
    auto* values = tensor.mutable_data_ptr<float>();
    const bool norm = shape.size() == 1 && !name.ends_with("bias");
    for (std::int64_t i = 0; i < tensor.numel(); ++i) {
      const double draw = stream.normal(0, static_cast<std::uint64_t>(i));
      values[i] = static_cast<float>(norm ? 1 + 0.1 * draw : 0.3 * draw);
    }
    if (name == "norm_postattn.0.weight")
      tensor.fill_(post_norm);
    tensors.emplace(name, tensor);
  }
  return tensors;
}

std::unique_ptr<AdjustLayer> random_adjust_layer(const BlockDenoiser& base, double post_norm) {
  const AdjustConfig config = random_adjust_config(base, std::string(64, '0'));
  return std::make_unique<AdjustLayer>(
      make_adjust_network(config, random_adjust_tensors(config, post_norm),
                          hidden_model_of(base).network_compute()),
      base);
}

void write_adjust_folder(const std::string& folder, const AdjustConfig& config,
                         const std::map<std::string, at::Tensor>& tensors) {
  std::filesystem::create_directories(folder);
  write_file_atomically(folder + "/config.json", adjust_config_json(config).dump());
  std::map<std::string, TensorToWrite> written;
  for (const auto& [name, tensor] : tensors) {
    const std::span values(tensor.const_data_ptr<float>(),
                           static_cast<std::size_t>(tensor.numel()));
    written[name] = {Dtype::kF32, tensor.sizes().vec(), std::as_bytes(values)};
  }
  write_safetensors(folder + "/model.safetensors", written);
}

}  // namespace dlm::testing
