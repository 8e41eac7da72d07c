// The head and the loss, a chunk of rows at a time: logits of those rows alone, and their gradient
// in the same memory.
#pragma once

#include <cstdint>
#include <vector>

#include <ATen/core/Tensor.h>

#include "models/training/parameters.h"
#include "models/training/pass.h"

namespace dlm {

enum class LossKind {
  kCrossEntropy,  // -log p(target), the mask excluded
  kScoreEntropy,  // at the row's t, the rate of the noise included
};

struct HeadLoss {
  const std::vector<LossRow>& rows;  // M
  LossKind kind = LossKind::kCrossEntropy;
  std::int64_t mask_id = 0;
  std::int64_t chunk_rows = 256;
};

// The loss rows' terms, nats, f64.
std::vector<double> head_terms(const HeadLoss& loss, const Affine& head, const at::Tensor& rows);

// Where the gradients of scale x the sum of weight x term go.
struct HeadGradient {
  double scale = 1;
  const Affine& head;  // added to
  at::Tensor rows;     // (M, D), written
};

// The same, with gradients; rows (M, D) in the dtype of the head's weight.
std::vector<double> head_backward(const HeadLoss& loss, const Affine& head, const at::Tensor& rows,
                                  const HeadGradient& gradient);

}  // namespace dlm
