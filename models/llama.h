// Llama checkpoints, and the decoder that Qwen2 shares with them: what differs from the shared
// decoder, and the tensor names.
#pragma once

#include <memory>
#include <string>

#include "models/checkpoint/checkpoint.h"
#include "models/language_model.h"
#include "models/model_options.h"

namespace dlm {

// Where the families that use Llama's layout differ. config.json decides what is not fixed here.
struct LlamaDialect {
  std::string family;
  bool always_biases_qkv = false;  // Qwen2; otherwise attention_bias decides for q, k, v and o
  std::int64_t default_max_length = 2048;
};

// Rotary positions (rope types default, linear and llama3), RMS norm, grouped key heads, gated SiLU
// MLP. Names with or without "model." before them. Throws ConfigError for a config.json that asks
// for what is not supported and DataError for tensors that do not fit it. Source: transformers
// modeling_llama.py, modeling_qwen2.py.
std::unique_ptr<AutoregressiveModel> load_llama_dialect(const Checkpoint& checkpoint,
                                                        const ModelOptions& options,
                                                        const LlamaDialect& dialect);

std::unique_ptr<AutoregressiveModel> load_llama(const Checkpoint& checkpoint,
                                                const ModelOptions& options);

}  // namespace dlm
