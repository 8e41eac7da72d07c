#include "models/training/parameters.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <utility>

#include <ATen/ops/empty.h>

#include <fmt/format.h>

#include "harness/base/error.h"
#include "models/checkpoint/checkpoint.h"
#include "models/checkpoint/weights.h"
#include "models/training/paged_memory.h"

namespace dlm {
namespace {

constexpr std::int64_t kFrequencies = 256;  // of the noise level's embedding
constexpr double kOnes = -1;                // in place of a bound: every value is 1

// Names as published, "backbone." before them.
class Finder {
 public:
  explicit Finder(const std::map<std::string, at::Tensor>& tensors) : tensors_(tensors) {}

  at::Tensor get(const std::string& name) const {
    const auto at = tensors_.find("backbone." + name);
    return at == tensors_.end() ? at::Tensor() : at->second;
  }

  Affine affine(const std::string& name) const {
    return {get(name + ".weight"), get(name + ".bias")};
  }

 private:
  const std::map<std::string, at::Tensor>& tensors_;
};

NetworkTensors by_place(const TrainShape& shape, const std::map<std::string, at::Tensor>& tensors) {
  const Finder find(tensors);
  NetworkTensors network;
  network.embedding = find.get("vocab_embed.embedding");
  network.sigma_in = find.affine("sigma_map.mlp.0");
  network.sigma_out = find.affine("sigma_map.mlp.2");
  for (std::int64_t layer = 0; layer < shape.layers; ++layer) {
    const std::string name = fmt::format("blocks.{}.", layer);
    network.layers.push_back({find.get(name + "norm1.weight"), find.get(name + "attn_qkv.weight"),
                              find.get(name + "attn_out.weight"), find.get(name + "norm2.weight"),
                              find.affine(name + "mlp.0"), find.affine(name + "mlp.2"),
                              find.affine(name + "adaLN_modulation")});
  }
  network.final_norm = find.get("output_layer.norm_final.weight");
  network.final_modulation = find.affine("output_layer.adaLN_modulation");
  network.head = find.affine("output_layer.linear");
  return network;
}

bool is_buffer(std::string_view name) {
  return name.ends_with("rotary_emb.inv_freq") || name == "sampling_eps_min" ||
         name == "sampling_eps_max";
}

}  // namespace

// FNV-1a.
std::uint64_t hash_of_name(std::string_view name) {
  std::uint64_t hash = 0xcbf29ce484222325U;
  for (const char c : name) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3U;
  return hash;
}

void fill_uniform(const at::Tensor& tensor, const RandomStream& stream, double bound) {
  float* values = tensor.mutable_data_ptr<float>();
  const std::int64_t count = tensor.numel();
#pragma omp parallel for schedule(static)
  for (std::int64_t i = 0; i < count; ++i)
    values[i] =
        static_cast<float>((2 * stream.uniform(0, static_cast<std::uint64_t>(i)) - 1) * bound);
}

ParameterSet::ParameterSet(const TrainShape& shape, std::uint64_t seed)
    : shape_(shape), seed_(seed) {
  add_all();
  std::map<std::string, at::Tensor> values, gradients;
  for (const Parameter& parameter : list_) {
    values[parameter.name] = parameter.value;
    gradients[parameter.name] = parameter.gradient;
  }
  values_ = by_place(shape, values);
  gradients_ = by_place(shape, gradients);
}

void ParameterSet::add_all() {
  const std::int64_t width = shape_.width;
  const std::int64_t cond = shape_.cond_dim;
  const auto bound = [](std::int64_t inputs) { return 1 / std::sqrt(static_cast<double>(inputs)); };
  const auto affine = [&](const std::string& name, std::int64_t outputs, std::int64_t inputs,
                          double limit) {
    add(name + ".weight", {outputs, inputs}, limit);
    add(name + ".bias", {outputs}, limit);
  };
  add("vocab_embed.embedding", {shape_.vocab_size, width}, bound(width));
  list_.back().has_sparse_gradient = true;
  if (shape_.adaln) {
    affine("sigma_map.mlp.0", cond, kFrequencies, bound(kFrequencies));
    affine("sigma_map.mlp.2", cond, cond, bound(cond));
  }
  for (std::int64_t layer = 0; layer < shape_.layers; ++layer) {
    const std::string name = fmt::format("blocks.{}.", layer);
    add(name + "norm1.weight", {width}, kOnes);
    add(name + "attn_qkv.weight", {3 * width, width}, bound(width));
    add(name + "attn_out.weight", {width, width}, bound(width));
    add(name + "norm2.weight", {width}, kOnes);
    affine(name + "mlp.0", shape_.inner(), width, bound(width));
    affine(name + "mlp.2", width, shape_.inner(), bound(shape_.inner()));
    if (shape_.adaln)
      affine(name + "adaLN_modulation", 6 * width, cond, 0);
  }
  add("output_layer.norm_final.weight", {width}, kOnes);
  if (shape_.adaln)
    affine("output_layer.adaLN_modulation", 2 * width, cond, 0);
  affine("output_layer.linear", shape_.vocab_size, width, 0);
}

void ParameterSet::add(const std::string& name, std::vector<std::int64_t> size, double bound) {
  Parameter parameter;
  parameter.name = "backbone." + name;
  parameter.value = at::empty(size, at::kFloat);
  parameter.gradient = untouched_zeros(size);
  if (bound == kOnes)
    parameter.value.fill_(1);
  else if (bound == 0)
    parameter.value.zero_();
  else
    fill_uniform(parameter.value, RandomStream(seed_, Purpose::kInitialWeights, hash_of_name(name)),
                 bound);
  list_.push_back(std::move(parameter));
}

void ParameterSet::load(const std::string& folder) {
  const Checkpoint checkpoint = Checkpoint::open(folder);
  const std::string prefix =
      checkpoint.tensors.contains("vocab_embed.embedding") ? "" : "backbone.";
  Weights weights(checkpoint, prefix);
  for (Parameter& parameter : list_) {
    const std::string name = parameter.name.substr(std::string_view("backbone.").size());
    const at::Tensor& value = parameter.value;
    const at::Tensor loaded = value.dim() == 1 ? weights.take(name, {value.size(0)})
                                               : weights.take(name, {value.size(0), value.size(1)});
    value.copy_(materialise(loaded, at::kFloat, name));
  }
  weights.ignore(is_buffer);
  weights.finish();
}

void round_to_bf16(const NetworkTensors& values, NetworkTensors& rounded) {
  const NetworkTensors before = std::move(rounded);
  rounded = values;
  const bool known = !before.layers.empty();
  const auto round = [&](at::Tensor& weight, const at::Tensor& memory) {
    weight = known ? memory.copy_(weight) : weight.to(at::kBFloat16);
  };
  const LayerTensors none;
  for (std::size_t i = 0; i < values.layers.size(); ++i) {
    const LayerTensors& old = known ? before.layers[i] : none;
    LayerTensors& layer = rounded.layers[i];
    round(layer.qkv, old.qkv);
    round(layer.out, old.out);
    round(layer.up.weight, old.up.weight);
    round(layer.down.weight, old.down.weight);
  }
  round(rounded.head.weight, before.head.weight);
}

}  // namespace dlm
