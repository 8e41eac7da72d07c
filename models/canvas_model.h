// Denoisers over a decoder that sees the whole text at once, hidden tokens behind the block
// included: Dream and LLaDA. What they share; their own files load them.
//
// Shape legend: B batch, L positions, V vocabulary with the mask, D hidden width.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <span>
#include <vector>

#include <ATen/core/Tensor.h>

#include "harness/base/json.h"
#include "models/block_decoder.h"
#include "models/hidden_states.h"
#include "models/model_options.h"
#include "models/transformer/decoder.h"

namespace dlm {

// Which token the network's output at a position is of.
enum class LogitShift {
  kNone,      // its own
  kPrevious,  // the next one, as in the autoregressive model it was made from; the first token gets
              // the output of its own position. Source: Dream modeling_dream.py.
};

// Whether the mask takes part in the law of a hidden token.
enum class MaskLogit {
  kBanned,   // never: a text holds no mask
  kCounted,  // as published: a share of the law, so confidences and likelihoods are a little lower
};

struct CanvasTraits {
  std::int64_t mask_id = 0;
  LogitShift shift = LogitShift::kNone;
  MaskLogit mask_logit = MaskLogit::kBanned;
};

// From ModelOptions::parameterization: "auto" and "subs" ban the mask, "raw" counts it. Throws
// ConfigError for another.
MaskLogit mask_logit_of(const ModelOptions& options);

// mask_token_id of a config.json (named by `where`). Throws DataError where it is missing or
// outside the vocabulary.
std::int64_t mask_id_field(const Json& config, std::int64_t vocab_size, const std::string& where);

// Positions of one row that a pass computes, and those of its text whose logits are wanted.
struct CanvasRow {
  std::int64_t row = 0;           // of the cache, where there is one; ascending
  std::vector<std::int64_t> ids;  // from position `start` on
  std::int64_t start = 0;         // positions before, whose keys the cache holds
  std::int64_t behind = 0;        // positions after, whose keys the cache holds
  std::vector<std::int64_t> wanted;
};

// A whole text with hidden tokens, some of which are wanted.
struct MaskedText {
  std::vector<std::int64_t> ids;
  std::vector<std::int64_t> wanted;   // positions, ascending
  std::vector<std::int64_t> targets;  // of them, the true tokens; only for terms
  std::vector<std::int64_t>
      prompt;  // what guidance hides: the first tokens; masks stay as they are
};

// What CanvasModel::forward gives, f32; rows of padding are 0.
struct CanvasForward {
  at::Tensor logits;       // (B, L, V) as the network puts them out
  at::Tensor last_hidden;  // (B, L, D) after the final norm
};

// As a Denoiser: the term of a hidden token of block b is given every earlier block, the known
// tokens of its own, and masks to the end of the text: what semi-autoregressive generation sees.
// One block as long as the text is the models' own likelihood. May be shared between threads.
class CanvasModel final : public BlockDenoiser, public HiddenModel {
 public:
  CanvasModel(Decoder decoder, ModelInfo info, CanvasTraits traits);

  const ModelInfo& info() const override { return info_; }

  DenoiserLoss loss() const override { return DenoiserLoss::kMaskedCrossEntropy; }

  std::int64_t mask_id() const override { return traits_.mask_id; }

  std::int64_t trained_block_size() const override { return 0; }

  bool sees_whole_text() const override { return true; }

  std::unique_ptr<CleanContext> encode(std::span<const std::vector<std::int64_t>> sequences,
                                       std::int64_t block_size) const override;

  // Passes of about 1024 positions.
  std::vector<std::vector<double>> token_terms(const CleanContext& context,
                                               std::span<const MaskQuery> queries) const override;

  // Each pass computes the whole text, or with stale keys what they leave; ContextCache is not
  // read. Throws ConfigError for guidance together with stale keys, and for a guidance below 0.
  std::unique_ptr<BlockDecoder> new_decoder(const DecoderOptions& options) const override;

  PassCounts counts() const override;

  const HiddenModel* hidden_model() const override { return this; }

  const DecoderShape& network_shape() const override { return decoder_.shape; }

  const Compute& network_compute() const override { return decoder_.compute; }

  at::Tensor embedded(const at::Tensor& ids) const override;

  at::Tensor head_logits_of(const at::Tensor& states) const override;

  void count_flops(double flops) const override;

  const CanvasTraits& traits() const { return traits_; }

  const Decoder& decoder() const { return decoder_; }

  // ids (B, L) int64; row b is ids[b, first[b] .. L). For parity and inspection. Throws ConfigError
  // for ids outside the vocabulary, and for rows that are empty or too long.
  CanvasForward forward(const at::Tensor& ids, std::span<const std::int64_t> first) const;

  // One counted pass: hidden states before the final norm (R, D) of the positions whose output the
  // rows' wanted tokens need, in order. Keys and values go into `cache` where there is one.
  at::Tensor hidden_of(std::span<const CanvasRow> rows, TransformerCache* cache) const;

  // Logits (R, V) f32 of such hidden states, counted; a banned mask is -inf.
  at::Tensor logits_of(const at::Tensor& hidden) const;

  // Logits (R, V) f32 of the wanted positions in order: u + guidance (c - u), u those with the
  // prompts hidden. One counted pass.
  at::Tensor guided_logits(std::span<const MaskedText> texts, double guidance) const;

  // -log p of the wanted tokens in order, nats. One pass.
  std::vector<double> terms(std::span<const MaskedText> texts, double guidance) const;

  // An empty cache.
  std::unique_ptr<TransformerCache> transformer_cache(std::int64_t rows,
                                                      std::int64_t capacity) const;

 private:
  PackedRows pack(std::span<const CanvasRow> rows, std::int64_t batch) const;
  void check_terms(const MaskQuery& query, std::span<const double> terms) const;

  Decoder decoder_;
  ModelInfo info_;
  CanvasTraits traits_;
  mutable std::mutex mutex_;
  mutable PassCounts counts_;
};

}  // namespace dlm
