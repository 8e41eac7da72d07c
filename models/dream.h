// Dream: Qwen2's layers attending both ways, whose output at a position is still of the next token.
#pragma once

#include <memory>

#include "models/canvas_model.h"
#include "models/checkpoint/checkpoint.h"
#include "models/model_options.h"

namespace dlm {

// A folder of model_type "Dream", tensors named as Qwen2's. Throws as load_llama_dialect, and
// DataError where config.json names no mask. Source: Dream configuration_dream.py,
// modeling_dream.py.
std::unique_ptr<CanvasModel> load_dream(const Checkpoint& checkpoint, const ModelOptions& options);

}  // namespace dlm
