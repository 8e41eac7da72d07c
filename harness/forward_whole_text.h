// `forward` on a model that sees the whole text: Dream and LLaDA.
#pragma once

#include "harness/forward_inputs.h"
#include "models/canvas_model.h"

namespace dlm {

// Inputs: input_ids (B, L), tokens with masks, and attention_mask (B, L), zeros on the left, then
// ones. Outputs: logits (B, L, V) as the network puts them out, the mask's included, and
// last_hidden (B, L, D), 0 at padding; where logits are of the next token, logits_shifted.
//
// With x0 (B, L), clean, beside xt (B, L), with masks: p_mask (B), and perhaps guidance (1) with
// the prompt (1, P) that it hides. Outputs: nelbo_terms (B, L), -log p(x0) / p_mask at hidden
// positions, and loss (1), the mean over rows of their sums. Source: LLaDA get_log_likelihood.py.
//
// Throws DataError and ConfigError for what does not fit.
NamedTensors forward_whole_text(const CanvasModel& model, const ForwardInputs& inputs);

}  // namespace dlm
