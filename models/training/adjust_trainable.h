// An ADJUST layer to be trained on trajectories of its base: after each reveal of a window, run on
// its own states since the window's first, it has to say what the base itself says of the text with
// that token in it. Source: arXiv:2509.22738.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "models/block_decoder.h"
#include "models/training/trainable.h"

namespace dlm {

struct AdjustTrainingSpec {
  std::string base_sha256;  // Checkpoint::weights_sha256 of the base

  std::int64_t length = 0;         // L of the trajectories
  std::int64_t prompt_tokens = 0;  // P
  std::int64_t block_size = 0;     // L'; 0 = the base's

  std::int64_t heads = 0;  // of the layer; 0 = the base's
  std::int64_t inner = 0;  // width of its MLP; 0 = the base's
  double rope_theta = 10000;

  std::int64_t depth = 3;  // most passes of a window: K - 1
  // Which of a window's passes carry loss: every one, or the last, their number drawn from 1 to
  // depth with weights softmax(2^-i), i from 0. Source: the published training code.
  enum class Loss { kEveryPass, kLastPass } loss = Loss::kEveryPass;

  // Share of a pass's loss that lies on the positions that the trajectory reveals next, half as
  // much on each as on the one before it: those whose laws a sampler draws from. The rest lies on
  // all hidden positions alike; 0 is as published.
  double next_share = 0;

  // Every trajectory is run by the base once, and its states stay in memory
  // (trajectory_states.h).
  bool keeps_states = false;

  std::uint64_t seed = 1;       // of initial weights and windows
  std::string initial_weights;  // folder of a layer to begin from; empty: at random
};

AdjustTrainingSpec::Loss parse_adjust_loss(const std::string& name);  // all, last

// Of pass j of held-out windows, means over windows of means over hidden positions. `naive` is what
// the marginals are worth: the laws before the window's reveals, never refreshed.
struct AdjustPassQuality {
  double nats = 0, naive_nats = 0;            // KL(base with the tokens in it || .)
  double agreement = 0, naive_agreement = 0;  // share of equal most probable tokens
  double next_nats = 0, naive_next_nats = 0;  // KL at the position that is revealed next alone
};

class AdjustTrainable : public Trainable {
 public:
  // By pass, depth of them; windows have that many passes wherever a trajectory has such. Rows as
  // in a batch.
  virtual std::vector<AdjustPassQuality> validate(
      std::span<const std::vector<std::int64_t>> rows) const = 0;
};

// Batches are rows of trajectories (trajectories.h), 2 L - P numbers each; the window of a row, and
// with kLastPass its number of passes, are drawn by the example's number. A loss "token" is a pass
// of a window with loss, its value the mean divergence over the positions still hidden, weighted as
// next_share says; nelbo is NaN.
//
// `base` must outlive it. Throws ConfigError for a model without hidden states, and for settings
// that do not fit; DataError for an initial folder that does not.
std::unique_ptr<AdjustTrainable> make_adjust_trainable(const BlockDenoiser& base,
                                                       const AdjustTrainingSpec& spec);

// L' of windows and trajectories: as asked, else the base's, or the whole of a text that the base
// sees at once.
std::int64_t adjust_block_size(const BlockDenoiser& base, const AdjustTrainingSpec& spec);

}  // namespace dlm
