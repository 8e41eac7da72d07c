// Diffusion transformers as the block diffusion, masked diffusion and score entropy papers publish
// them, and their autoregressive baseline.
#pragma once

#include <memory>
#include <mutex>
#include <span>
#include <vector>

#include <ATen/core/Tensor.h>

#include "models/block_decoder.h"
#include "models/checkpoint/checkpoint.h"
#include "models/diffusion_transformer/dit_head.h"
#include "models/diffusion_transformer/dit_network.h"
#include "models/hidden_states.h"
#include "models/model_options.h"

namespace dlm {

// Which block sizes a model may be asked for.
enum class BlockSizes { kTrained, kAny };

// What DitModel::logits computes.
struct DitForward {
  at::Tensor x_t;  // (B, L) int64
  at::Tensor x_0;  // (B, L) int64, may hold masks; undefined: x_t is its own context, as when
                   // the published code samples without a cache
  std::int64_t block_size = 0;
  std::vector<double> sigma;  // per sequence; empty: 0
};

// Clean streams are run once in encode() and their keys shared by every query. A time-conditioned
// model with clean context is the exception: there the noise level enters the clean stream too (the
// published code gives all blocks the level of the first), so token_terms runs it again for each
// distinct (sequence, t) asked for. Queries that show the network the same are computed once.
// Passes take up to 1024 rows at a time. May be shared between threads.
class DitModel final : public BlockDenoiser, public HiddenModel {
 public:
  DitModel(Dit dit, ModelInfo info, BlockSizes sizes);

  const ModelInfo& info() const override { return info_; }

  DenoiserLoss loss() const override;

  std::int64_t mask_id() const override { return dit_.config.mask_id; }

  std::int64_t trained_block_size() const override { return dit_.config.block_size; }

  // The block size must be the trained one, or L where the model was trained without clean context;
  // any other needs BlockSizes::kAny.
  std::unique_ptr<CleanContext> encode(std::span<const std::vector<std::int64_t>> sequences,
                                       std::int64_t block_size) const override;

  // kScoreEntropy: sigma and its rate are those of each query's t. Throws ConfigError where the
  // model reads t and it is not in (0, 1].
  std::vector<std::vector<double>> token_terms(const CleanContext& context,
                                               std::span<const MaskQuery> queries) const override;

  // Keys and values in the compute dtype. A model trained without clean context takes one block, of
  // any size; others their trained block size, or with BlockSizes::kAny any that divides their
  // length. A time-conditioned model with clean context needs ContextCache::kOff. Score entropy
  // models give log-scores in place of logits, at each step's t (analytic_sampler.h).
  std::unique_ptr<BlockDecoder> new_decoder(const DecoderOptions& options) const override;

  PassCounts counts() const override;

  // States are rows after the modulated final norm: where the model reads the noise level they
  // carry it, and the head is the same for all.
  const HiddenModel* hidden_model() const override;

  const DecoderShape& network_shape() const override { return dit_.config.shape; }

  const Compute& network_compute() const override { return dit_.decoder.compute; }

  at::Tensor embedded(const at::Tensor& ids) const override;

  at::Tensor head_logits_of(const at::Tensor& states) const override;

  void count_flops(double flops) const override;

  // The network's output as published, (B, L, V) f32: for parity and inspection, all logits at
  // once. Throws ConfigError for shapes, ids or a block size that do not fit.
  at::Tensor logits(const DitForward& forward) const;

  const DitConfig& config() const { return dit_.config; }

  const Dit& network() const { return dit_; }

 private:
  void check_block_size(std::int64_t length, std::int64_t block_size) const;
  void check_queries(const CleanContext& context, std::span<const MaskQuery> queries) const;
  void check_forward(const DitForward& forward) const;
  std::vector<double> terms_of(const MaskQuery& query, std::span<const RowLogits> rows,
                               std::int64_t block_size) const;
  void count(const PassCounts& cost, std::int64_t head_rows) const;
  bool context_depends_on_t(std::int64_t clean_length) const;

  Dit dit_;
  ModelInfo info_;
  BlockSizes sizes_;
  mutable std::mutex mutex_;
  mutable PassCounts counts_;
};

// A "bd3lm", "mdlm" or score entropy folder. Throws ConfigError for a causal one.
std::unique_ptr<DitModel> load_dit(const Checkpoint& checkpoint, const ModelOptions& options);

// The autoregressive baseline: a "bd3lm" folder with causal = true. The mask never follows: its
// logit is -1e6. Throws ConfigError where it is not causal. Source: bd3lms models/dit.py
// DDiTBlockCausal, mdlm models/autoregressive.py.
std::unique_ptr<AutoregressiveModel> load_dit_autoregressive(const Checkpoint& checkpoint,
                                                             const ModelOptions& options);

}  // namespace dlm
