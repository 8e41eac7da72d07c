// How a model is to be computed: what every loader takes beside the weights.
#pragma once

#include <cstdint>
#include <string>

namespace dlm {

struct ModelOptions {
  std::string dtype = "f32";            // f32, bf16 or f16
  std::string device = "cpu";           // cpu, cuda, cuda:N
  std::string linear_backend = "auto";  // auto, aten, onednn, mapped (transformer/linear.h)
  std::uint64_t seed = 1;               // parameters of an exact world
  std::string tokenizer = {};           // folder; empty = the model's own, where it has one
  bool hash_weights = true;             // weights_sha256: reads every weight
  // Diffusion transformers only (diffusion_transformer/dit_config.h): what their config.json does
  // not say.
  std::string parameterization = "auto";  // auto, subs, sedd; Dream, LLaDA: raw
  std::string noise = "auto";             // auto, clipped, smoothed
  bool any_block_size = false;            // allow block sizes that the model was not trained with
};

}  // namespace dlm
