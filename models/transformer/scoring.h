// From hidden states to negative log-likelihoods, without ever holding the logits of all rows.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include <ATen/core/Tensor.h>

#include "models/language_model.h"
#include "models/transformer/decoder.h"

namespace dlm {

// -log softmax(logits of row r)[targets[r]] in nats; hidden (R, D) before the final norm, targets
// in [0, V). The exponentials are f32 relative to the row's largest logit, the rest f64. A value
// may be NaN or infinite where the hidden state is.
std::vector<double> row_nll(const Decoder& decoder, const at::Tensor& hidden,
                            std::span<const std::int64_t> targets);

// The windows as one right-padded batch that holds what the network must read: of each window all
// ids but the last.
struct WindowBatch {
  at::Tensor ids;                     // (B, L) int64
  std::vector<std::int64_t> lengths;  // may be 0
  std::int64_t scored = 0;            // tokens to score
};

// Throws ConfigError naming the window for an empty one, one longer than max_length (0: no limit),
// a first_scored outside [1, size], or an id outside [0, V).
WindowBatch batch_windows(std::span<const ScoringWindow> windows, const ModelInfo& info);

}  // namespace dlm
