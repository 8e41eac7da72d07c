#include "models/qwen2.h"

#include "models/llama.h"

namespace dlm {

std::unique_ptr<AutoregressiveModel> load_qwen2(const Checkpoint& checkpoint,
                                                const ModelOptions& options) {
  return load_llama_dialect(
      checkpoint, options,
      {.family = "qwen2", .always_biases_qkv = true, .default_max_length = 32768});
}

}  // namespace dlm
