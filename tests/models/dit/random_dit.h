// Small diffusion transformers with random weights, written as published folders.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace dlm::testing {

struct RandomDit {
  std::string model_type = "bd3lm";
  std::int64_t vocab_size = 13;  // the last one is the mask
  std::int64_t width = 24;
  std::int64_t layers = 3;
  std::int64_t heads = 4;
  std::int64_t cond_dim = 5;
  std::int64_t length = 48;
  std::int64_t block_size = 4;
  bool causal = false;
  bool cross_attention = true;
  bool adaln = true;
  bool time_conditioning = false;
  bool variance_search = true;
  std::string prefix = "backbone.";
  double scale = 0.3;
  std::uint64_t seed = 1;
};

// Names and shapes as published; buffers and the two scalars included.
std::map<std::string, std::vector<std::int64_t>> dit_shapes(const RandomDit& dit);

// Writes folder/config.json and folder/model.safetensors, f32: norms near 1, gates near 0.8, all
// else normal with deviation `scale`.
void write_random_dit(const std::string& folder, const RandomDit& dit);

}  // namespace dlm::testing
