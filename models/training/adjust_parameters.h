// The parameters of an ADJUST layer that is trained, by the names of its checkpoint
// (adjust_network.h).
//
// Shape legend: D the base's hidden width, I width of the layer's MLP.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <ATen/core/Tensor.h>

#include "models/adjust_network.h"
#include "models/training/parameters.h"

namespace dlm {

struct AdjustTensors {
  at::Tensor norm_embed, norm_hidden, norm_postattn;  // (D)
  Affine project;                                     // (D, 2 D)
  at::Tensor norm1;                                   // (D)
  Affine qkv;                                         // (3 D, D)
  at::Tensor out;                                     // (D, D)
  at::Tensor norm2;                                   // (D)
  at::Tensor gate_up;                                 // (2 I, D): gate, then up
  at::Tensor down;                                    // (D, I)
};

// Owns values and gradients: tensors that a product reads together lie behind one another, and a
// checkpoint's tensors are their rows.
class AdjustParameters {
 public:
  // norm_postattn is 0, so that the layer begins as the sampler of marginals; other norms are 1,
  // biases 0, the rest uniform as torch.nn.Linear has it, each a function of (seed, name). Throws
  // ConfigError for a layer whose keys are shared between heads, or without biases of q, k, v.
  AdjustParameters(const AdjustConfig& config, std::uint64_t seed);

  // Values of the folder's tensors. Throws ConfigError where its config.json, for a base of shape
  // `base`, says that they are read in another way (heads, rotary base, norms); DataError for
  // missing, further or misshaped tensors. Warns where the layer was trained for another base.
  void load(const std::string& folder, const DecoderShape& base);

  std::vector<Parameter>& list() { return list_; }

  const AdjustTensors& values() const { return values_; }

  const AdjustTensors& gradients() const { return gradients_; }

 private:
  AdjustConfig config_;
  std::vector<Parameter> list_;
  AdjustTensors values_, gradients_;
};

}  // namespace dlm
