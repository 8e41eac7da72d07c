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

// Features that need no network: texts of token ids of a vocabulary of V.
//
// Which token stands where: (N, L V) f32, one 1 for each of the L positions. What a model of few
// positions gets wrong between them shows as clusters of the joint law. Throws ConfigError for
// texts of different lengths, an id outside [0, V), L V above 2^16.
at::Tensor position_features(std::span<const std::vector<std::int64_t>> texts,
                             std::int64_t vocab_size);

// How often each pair of neighbours occurs: (N, V V) f32 shares of a text's pairs; a text of one
// token has none. Texts of any length. Throws ConfigError for an id outside [0, V), V above 256.
at::Tensor pair_features(std::span<const std::vector<std::int64_t>> texts, std::int64_t vocab_size);

}  // namespace dlm
