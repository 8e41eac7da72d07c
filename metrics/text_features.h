// Texts as vectors: what MAUVE compares.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include <ATen/core/Tensor.h>

#include "models/language_model.h"

namespace dlm {

// The hidden state after the final norm at each text's last token: (N, D) f32 on the CPU, row i for
// texts[i]. Every text has at least one id and at most the model's longest length. Texts of like
// length share a pass of `batch_size`. Throws ConfigError for an empty text, a batch size below 1,
// and as AutoregressiveModel::hidden_states; DataError naming the text for a value that is NaN or
// infinite. Source: Pillutla et al., NeurIPS 2021, section 4.
at::Tensor last_token_features(const AutoregressiveModel& model,
                               std::span<const std::vector<std::int64_t>> texts,
                               std::int64_t batch_size);

}  // namespace dlm
