// An exact world as a denoiser: what a perfect block-diffusion model of that world would answer,
// at any block size. Torch-free.
#pragma once

#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "models/block_decoder.h"
#include "models/exact/exact_world.h"

namespace dlm {

// The term of a hidden token is -log p(x_i | every earlier block and the unmasked tokens of its own
// block): later blocks are unknown to it, as they are to a network. mask_id is V; any block size
// that divides the length will do (trained_block_size 0); the noise level of a query is not read.
//
// Counted as a network with a key-value cache would count, so that estimators can be compared by
// cost: encode is one pass over all blocks but the last of each sequence (none where there is only
// one); each call of token_terms is one pass, of L' positions for each query, b L' cached positions
// for a query in block b, and one head row for each hidden token.
class ExactDenoiser : public BlockDenoiser {
 public:
  explicit ExactDenoiser(std::shared_ptr<const ExactWorld> world);

  const ExactWorld& world() const { return *world_; }

  const ModelInfo& info() const override { return world_->info(); }

  DenoiserLoss loss() const override { return DenoiserLoss::kMaskedCrossEntropy; }

  std::int64_t mask_id() const override { return world_->info().vocab_size; }

  std::int64_t trained_block_size() const override { return 0; }

  std::unique_ptr<CleanContext> encode(std::span<const std::vector<std::int64_t>> sequences,
                                       std::int64_t block_size) const override;

  // Queries run in parallel; each term is the same at any thread count and in any company.
  std::vector<std::vector<double>> token_terms(const CleanContext& context,
                                               std::span<const MaskQuery> queries) const override;

  // Blocks of any size, prompts of any length; nothing to keep between passes but the text.
  std::unique_ptr<BlockDecoder> new_decoder(const DecoderOptions& options) const override;

  PassCounts counts() const override { return counts_; }

 private:
  void check_sequence(std::span<const std::int64_t> ids, std::int64_t block_size) const;

  std::shared_ptr<const ExactWorld> world_;
  mutable PassCounts counts_;
};

// Of make_exact_world(spec).
std::unique_ptr<ExactDenoiser> make_exact_denoiser(std::string_view spec);

}  // namespace dlm
