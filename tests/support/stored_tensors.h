// Tensors of a safetensors file, for tests that see no libtorch.
#pragma once

#include <cstring>
#include <map>
#include <string>
#include <vector>

#include "models/checkpoint/safetensors.h"

namespace dlm::testing {

inline std::map<std::string, TensorView> tensors_of(const std::string& path) {
  std::map<std::string, TensorView> tensors;
  for (TensorView& view : open_safetensors(path)) tensors.emplace(view.name, view);
  return tensors;
}

// Of an f32 tensor.
inline std::vector<float> floats_of(const TensorView& view) {
  std::vector<float> values(view.bytes.size() / sizeof(float));
  std::memcpy(values.data(), view.bytes.data(), view.bytes.size());
  return values;
}

}  // namespace dlm::testing
