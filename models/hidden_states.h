// What a denoiser shows of itself between its last layer and its head. With it, a layer on top
// (adjust_layer.h) runs on any network, and can be trained for it.
//
// Shape legend: S positions of a row, R rows, D hidden width, V vocabulary with the mask.
#pragma once

#include <cstdint>

#include <ATen/core/Tensor.h>

#include "models/block_decoder.h"
#include "models/transformer/compute.h"
#include "models/transformer/decoder.h"

namespace dlm {

// The states that a pass left for one row, in the compute dtype.
struct RowStates {
  at::Tensor states;       // (S, D) after the final norm: what the head reads
  std::int64_t first = 0;  // position in the row's text of the first of them
};

// A decoder that kept the hidden states of its last pass (DecoderOptions::keeps_hidden).
class HiddenSource {
 public:
  virtual ~HiddenSource() = default;

  // Of a row that took part. State i gives the logits of the token at first + i: where a model
  // predicts the next token, the states are shifted as its logits are. A model that sees the whole
  // text gives the states of all of it; one that sees finished blocks only those of the block,
  // masked and known positions alike: they have read the context, which no reveal changes.
  virtual RowStates hidden(std::int64_t row) const = 0;
};

// A denoiser whose parts around the hidden states can be asked for (BlockDenoiser::hidden_model).
class HiddenModel {
 public:
  virtual ~HiddenModel() = default;

  // Of the network; V and D are those of embedding and head.
  virtual const DecoderShape& network_shape() const = 0;

  virtual const Compute& network_compute() const = 0;

  // ids (R) int64 in [0, V) on any device -> rows of the input embedding, (R, D), a copy.
  virtual at::Tensor embedded(const at::Tensor& ids) const = 0;

  // The head of states after the final norm, (R, D) -> logits (R, V) f32 as a decoder's step gives
  // them: the mask's are -inf unless the model counts it. Counted as head rows.
  virtual at::Tensor head_logits_of(const at::Tensor& states) const = 0;

  // Adds operations of a layer on top of the network to Denoiser::counts().
  virtual void count_flops(double flops) const = 0;
};

}  // namespace dlm
