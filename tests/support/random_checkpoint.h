// Writes checkpoint folders with random weights, of any size: the small ones that tests check
// against slow loops, and the large ones that benchmarks run on.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "harness/base/json.h"

namespace dlm::testing {

struct RandomModel {
  std::string family = "gpt2";  // gpt2, llama, qwen2, dream
  std::int64_t vocab_size = 31;
  std::int64_t width = 24;
  std::int64_t layers = 2;
  std::int64_t heads = 4;
  std::int64_t kv_heads = 2;  // llama, qwen2
  std::int64_t head_dim = 0;  // llama, qwen2; 0 = width / heads
  std::int64_t inner = 40;
  std::int64_t max_length = 64;
  bool tied = true;
  bool attention_bias = false;  // llama
  bool mlp_bias = false;        // llama
  bool zero_biases = false;
  std::string dtype = "F32";  // F32 or BF16
  double scale = 0.3;         // standard deviation of weights and biases; norms are near 1
  std::uint64_t seed = 1;
};

// config.json of the model, to be changed before it is written.
Json random_config(const RandomModel& model);

// Names and shapes of its tensors, as transformers names them.
std::map<std::string, std::vector<std::int64_t>> tensor_shapes(const RandomModel& model);

// Writes folder/config.json and folder/model.safetensors. Each value is drawn from (seed, hash of
// the tensor's name, index), so models that share names share weights.
void write_random_checkpoint(const std::string& folder, const RandomModel& model,
                             const Json& config);
void write_random_checkpoint(const std::string& folder, const RandomModel& model);

}  // namespace dlm::testing
