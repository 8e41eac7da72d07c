// ADJUST: one light layer that, after each token that a step reveals, refreshes the laws of those
// still hidden, so that a step's later tokens depend on its earlier ones. The base network stays as
// it is. Source: arXiv:2509.22738.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include <ATen/core/Tensor.h>

#include "models/canvas_model.h"
#include "models/sampling/block_sampler.h"
#include "models/transformer/linear.h"
#include "models/transformer/norm.h"

namespace dlm {

// For S positions with states h (S, D), those after the base's final norm at first and its own from
// then on, and the text's present tokens with embeddings e:
//   z = block(project([norm_embed(e), norm_hidden(h)])), h' = norm_postattn(z) + h,
//   logits = the base's head of h', at the hidden positions only.
// The block is a decoder layer as the base's, attending both ways. The same layer refreshes after
// every reveal of a step, whatever K.
//
// A checkpoint is a folder: config.json with "model_type": "adjust", "base_weights_sha256" (as
// Checkpoint::weights_sha256 of the base), "intermediate_size", "num_attention_heads" and
// "num_key_value_heads", "rms_norm_eps", "rope_theta" where they are not the base's; and
// model.safetensors with down_project.0.{weight, bias}, norm_embed.0.weight, norm_hidden.0.weight,
// norm_postattn.0.weight and the layer's tensors as Qwen2 names them below layers.0.0.
class AdjustLayer final : public Refresh {
 public:
  // `base` must outlive the layer. Throws ConfigError where the layer was made for other weights
  // than `base_sha256`, DataError for tensors that do not fit.
  AdjustLayer(const std::string& folder, const CanvasModel& base, const std::string& base_sha256);

  bool reads_hidden() const override { return true; }

  void begin(BlockDecoder& decoder, std::span<const std::int64_t> rows) override;

  void refresh(std::span<RefreshRow> rows) override;

  std::int64_t parameters() const { return layer_.parameters; }

  std::int64_t passes() const { return passes_; }

 private:
  const CanvasModel& base_;
  Decoder layer_;  // one block; its embedding, final norm and head are not used
  Linear project_;
  Norm norm_embed_, norm_hidden_, norm_postattn_;
  std::vector<at::Tensor> states_;  // of each row of the decoder
  std::int64_t passes_ = 0;
};

}  // namespace dlm
