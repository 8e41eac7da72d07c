// naive_network.h over a folder's weights: one pass over [x_t ; x]. What the fast network is
// compared with.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <ATen/core/Tensor.h>

namespace dlm::testing {

// May query q of the 2 L rows see key k? Source: arXiv 2503.09573, appendix B.6.
bool two_stream_allowed(std::int64_t q, std::int64_t k, std::int64_t length,
                        std::int64_t block_size);

struct NaiveInput {
  std::vector<std::int64_t> x_t, x_0;  // L each; no x_0: bidirectional over x_t alone
  std::int64_t block_size = 1;
  double sigma = 0;
  std::int64_t heads = 4;
};

// Logits of the x_t half, (L, V) f64, of the folder's weights.
at::Tensor naive_dit_logits(const std::string& folder, const NaiveInput& input);

// -log softmax without the last column, at (row, target).
double naive_subs_term(const at::Tensor& logits, std::int64_t row, std::int64_t target);

}  // namespace dlm::testing
