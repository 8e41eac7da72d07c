// Qwen2 checkpoints: Llama's layout with biases on q, k and v.
#pragma once

#include <memory>

#include "models/checkpoint/checkpoint.h"
#include "models/language_model.h"
#include "models/model_options.h"

namespace dlm {

// Errors as load_llama; sliding windows are refused. Source: transformers modeling_qwen2.py.
std::unique_ptr<AutoregressiveModel> load_qwen2(const Checkpoint& checkpoint,
                                                const ModelOptions& options);

}  // namespace dlm
