// `forward` on a diffusion transformer.
#pragma once

#include "harness/forward_inputs.h"
#include "models/dit.h"

namespace dlm {

// Inputs: xt (B, L); x0 (B, L), the clean tokens, which are also the context where the model has
// one (absent: xt itself); t, noise levels in (0, 1]; sigma (B), what the network is told (absent:
// of the first t by the model's convention, 0 where there is no t); attention_mask (B, L).
//
// Outputs: logits (B, L, V); log_probs, or for score entropy log_score, (B, L, V). Where x0 and t
// are given, per token and 0 where xt is known: nelbo_terms, or score_entropy and loss_terms;
// nlls, the same times the attention mask with token 0 cleared (not for the hydra form); loss, the
// mean over unmasked tokens (1), of the hydra form the sum of each sequence (B). f32. Source:
// bd3lms diffusion.py _loss, Score-Entropy-Discrete-Diffusion losses.py.
//
// Throws ConfigError and DataError for what does not fit.
NamedTensors forward_diffusion(const DitModel& model, const ForwardInputs& inputs);

}  // namespace dlm
