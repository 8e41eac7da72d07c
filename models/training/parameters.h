// The parameters of a network that is trained, by the names of its checkpoint.
//
// Shape legend: D width, C conditioning width, V vocabulary with the mask.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include <ATen/core/Tensor.h>

#include "harness/base/random.h"
#include "models/training/train_shape.h"
#include "models/training/trainable.h"

namespace dlm {

// A linear map: weight (outputs, inputs), bias (outputs) or undefined.
struct Affine {
  at::Tensor weight, bias;
};

struct LayerTensors {
  at::Tensor norm1;   // (D)
  at::Tensor qkv;     // (3 D, D)
  at::Tensor out;     // (D, D)
  at::Tensor norm2;   // (D)
  Affine up;          // (4 D, D)
  Affine down;        // (D, 4 D)
  Affine modulation;  // (6 D, C), where there is one
};

struct NetworkTensors {
  at::Tensor embedding;        // (V, D)
  Affine sigma_in, sigma_out;  // (C, 256), (C, C); where there is modulation
  std::vector<LayerTensors> layers;
  at::Tensor final_norm;    // (D)
  Affine final_modulation;  // (2 D, C)
  Affine head;              // (V, D)
};

// Owns the parameters, and shows values and gradients by their place in the network.
class ParameterSet {
 public:
  // Initial weights as published; gradients are 0. Source: bd3lms models/dit.py.
  ParameterSet(const TrainShape& shape, std::uint64_t seed);

  // Values of the folder's tensors. Throws DataError for missing, further or misshaped tensors.
  void load(const std::string& folder);

  std::vector<Parameter>& list() { return list_; }

  const NetworkTensors& values() const { return values_; }

  const NetworkTensors& gradients() const { return gradients_; }

 private:
  void add_all();
  void add(const std::string& name, std::vector<std::int64_t> size, double bound);

  TrainShape shape_;
  std::uint64_t seed_;
  std::vector<Parameter> list_;
  NetworkTensors values_, gradients_;
};

// A number for a tensor's name, that its initial weights are drawn by.
std::uint64_t hash_of_name(std::string_view name);

// `tensor`, f32 and contiguous, uniform on [-bound, bound); element i is the stream's number i.
void fill_uniform(const at::Tensor& tensor, const RandomStream& stream, double bound);

// The weights that products read, rounded to bf16 into `rounded`, whose memory is used again;
// biases, norms, modulations and the embedding are those of `values`.
void round_to_bf16(const NetworkTensors& values, NetworkTensors& rounded);

}  // namespace dlm
