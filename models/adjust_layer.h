// ADJUST: one light layer that, after each token that a step reveals, refreshes the laws of those
// still hidden, so that a step's later tokens depend on its earlier ones. The base network stays as
// it is. Source: arXiv:2509.22738.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "models/adjust_network.h"
#include "models/block_decoder.h"
#include "models/hidden_states.h"
#include "models/sampling/block_sampler.h"

namespace dlm {

// Runs on every denoiser that shows its hidden states: Dream, LLaDA, and the diffusion transformers
// of masked and block diffusion. What the layer attends to is what the pass gave states of: the
// whole text where the model sees it whole, and the whole sequence of masked diffusion, which is
// one block; of block diffusion the block. The clean context is not attended to again: a step's
// reveals change nothing in it, and the block's states have read it in every layer of the base.
// Rotary positions count from the first of these positions. The layer is not told the noise level;
// the states of a time-conditioned model carry it.
//
// The same layer refreshes after every reveal of a step, whatever K; from the second refresh on its
// states are its own. The head sees the positions whose laws the sampler asks for. Its operations
// are added to the base's counts, its passes are not.
class AdjustLayer final : public Refresh {
 public:
  // `base` must outlive the layer. Throws ConfigError where the model shows no hidden states.
  AdjustLayer(AdjustNetwork network, const BlockDenoiser& base);

  bool reads_hidden() const override { return true; }

  void begin(BlockDecoder& decoder, std::span<const std::int64_t> rows) override;

  void refresh(std::span<RefreshRow> rows) override;

  const AdjustConfig& config() const { return network_.config; }

  std::int64_t parameters() const { return network_.layer.parameters; }

  // Of the layer, each for all rows that had more to reveal.
  std::int64_t passes() const { return passes_; }

 private:
  PackedRows pack(std::span<const RefreshRow> rows) const;

  AdjustNetwork network_;
  const BlockDenoiser& base_;
  const HiddenModel& hidden_;
  std::vector<RowStates> states_;  // of each row of the decoder
  std::int64_t passes_ = 0;
};

// The parts of `model` around its hidden states. Throws ConfigError for a model that shows none (an
// exact world, a score entropy network).
const HiddenModel& hidden_model_of(const BlockDenoiser& model);

// From a folder (adjust_network.h). Throws as load_adjust_network and the constructor.
std::unique_ptr<AdjustLayer> load_adjust_layer(const std::string& folder, const BlockDenoiser& base,
                                               const std::string& base_sha256);

}  // namespace dlm
