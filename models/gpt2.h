// GPT-2 checkpoints: what differs from the shared decoder, and the tensor names.
#pragma once

#include <memory>

#include "models/checkpoint/checkpoint.h"
#include "models/language_model.h"
#include "models/model_options.h"

namespace dlm {

// Learned positions, layer norm, fused Conv1D projections stored (in, out), GELU. Names with or
// without "transformer." before them; the buffers attn.bias and attn.masked_bias are not read.
// Throws ConfigError for a config.json that asks for what is not supported and DataError for
// tensors that do not fit it. Source: transformers modeling_gpt2.py.
std::unique_ptr<AutoregressiveModel> load_gpt2(const Checkpoint& checkpoint,
                                               const ModelOptions& options);

}  // namespace dlm
