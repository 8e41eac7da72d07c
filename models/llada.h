// LLaDA: a Llama that attends both ways, with names of its own.
#pragma once

#include <memory>

#include "models/canvas_model.h"
#include "models/checkpoint/checkpoint.h"
#include "models/model_options.h"

namespace dlm {

// A folder of model_type "llada", tensors below "model.transformer.". Throws ConfigError for a
// config.json that asks for what is not supported (other blocks, activations, norms and positions
// than the published models'), DataError for tensors that do not fit it. Source: LLaDA
// configuration_llada.py, modeling_llada.py.
std::unique_ptr<CanvasModel> load_llada(const Checkpoint& checkpoint, const ModelOptions& options);

}  // namespace dlm
