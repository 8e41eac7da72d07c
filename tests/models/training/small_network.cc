#include "tests/models/training/small_network.h"

#include <algorithm>
#include <filesystem>
#include <functional>

#include <ATen/Parallel.h>
#include <ATen/TensorOperators.h>
#include <ATen/ops/empty.h>

#include <nlohmann/json.hpp>

#include "harness/base/file.h"
#include "harness/base/random.h"
#include "models/checkpoint/safetensors.h"
#include "models/checkpoint/weights.h"

namespace dlm::testing {
namespace {

// Threads cost networks as small as these more than they bring, and much more on a busy machine.
[[maybe_unused]] const bool kOneThread = [] {
  at::set_num_threads(1);
  return true;
}();

}  // namespace

TrainableSpec small_spec(const std::string& objective) {
  TrainableSpec spec;
  spec.objective = objective;
  spec.layers = 3;
  spec.width = 24;
  spec.heads = 4;
  spec.cond_dim = 5;
  spec.vocab_size = 13;
  spec.length = 48;
  spec.block_size = 4;
  spec.dropout = 0;
  return spec;
}

std::unique_ptr<Trainable> random_network(const TrainableSpec& spec, double scale) {
  std::unique_ptr<Trainable> network = make_trainable(spec);
  for (const Parameter& parameter : network->parameters()) {
    const std::string& name = parameter.name;
    const RandomStream stream(spec.seed, Purpose::kTest, std::hash<std::string>()(name));
    const bool norm = name.find("norm") != std::string::npos;
    const bool gates = name.find("blocks.") != std::string::npos &&
                       name.find("adaLN_modulation.bias") != std::string::npos;
    float* values = parameter.value.mutable_data_ptr<float>();
    for (std::int64_t i = 0; i < parameter.value.numel(); ++i) {
      const std::int64_t part = i / spec.width;
      const double middle = norm ? 1 : gates && (part == 2 || part == 5) ? 0.8 : 0;
      values[i] = static_cast<float>(middle + (norm ? 0.1 : scale) *
                                                  stream.normal(0, static_cast<std::uint64_t>(i)));
    }
  }
  return network;
}

at::Tensor random_ids(const TrainableSpec& spec, std::int64_t rows, std::uint64_t seed) {
  const RandomStream stream(seed, Purpose::kTest, 0);
  at::Tensor ids = at::empty({rows, spec.length}, at::kLong);
  for (std::int64_t i = 0; i < ids.numel(); ++i) {
    ids.mutable_data_ptr<std::int64_t>()[i] = static_cast<std::int64_t>(stream.below(
        static_cast<std::uint64_t>(spec.vocab_size - 1), 0, static_cast<std::uint64_t>(i)));
  }
  return ids;
}

void clear_gradients(Trainable& network) {
  for (const Parameter& parameter : network.parameters()) parameter.gradient.zero_();
}

std::map<std::string, at::Tensor> gradients_of(Trainable& network) {
  std::map<std::string, at::Tensor> out;
  for (const Parameter& parameter : network.parameters())
    out[parameter.name] = parameter.gradient.clone();
  return out;
}

std::map<std::string, at::Tensor> fresh_gradients(Trainable& network, const TrainBatch& batch,
                                                  double scale) {
  clear_gradients(network);
  network.accumulate_gradients(batch, scale);
  return gradients_of(network);
}

double largest_difference(const std::map<std::string, at::Tensor>& a,
                          const std::map<std::string, at::Tensor>& b) {
  double largest = 0;
  for (const auto& [name, value] : b) {
    const double scale = std::max(1e-12, value.abs().max().item().toDouble());
    largest = std::max(largest, (a.at(name) - value).abs().max().item().toDouble() / scale);
  }
  return largest;
}

void save_network(Trainable& network, const std::string& folder) {
  std::map<std::string, TensorToWrite> tensors;
  for (const Parameter& parameter : network.parameters())
    tensors[parameter.name] = as_tensor_to_write(parameter.value);
  std::filesystem::create_directories(folder);
  write_file_atomically(folder + "/config.json", network.config_json().dump(1) + "\n");
  write_safetensors(folder + "/model.safetensors", tensors);
}

}  // namespace dlm::testing
