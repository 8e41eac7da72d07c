// How a model is to be computed: what every loader takes beside the weights.
#pragma once

#include <cstdint>
#include <string>

namespace dlm {

struct ModelOptions {
  std::string dtype = "f32";            // f32, bf16 or f16
  std::string device = "cpu";           // cpu, cuda, cuda:N
  std::string linear_backend = "auto";  // auto, aten, onednn (transformer/linear.h)
  std::uint64_t seed = 1;               // parameters of an exact world
};

}  // namespace dlm
