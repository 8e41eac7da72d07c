// Networks to be trained, each with its objective.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "models/training/trainable.h"

namespace dlm {

// How the noise levels of a batch's blocks are drawn from the noise interval.
enum class NoiseDraw {
  // One stratum per (row, block) of the batch, in order. Source: bd3lms diffusion.py `_sample_t`
  // with antithetic_sampling. A block's levels then depend on where it stands: findings.md.
  kPublished,
  // Each block on its own.
  kIndependent,
  // Strata as kPublished has them, dealt at random to the blocks of `strata_rows` consecutive
  // examples: every block's level is uniform, and a batch's levels are spread evenly.
  kPermuted,
  // As kPermuted, but what is stratified is the number of masked tokens k (mask_count.h): exactly k
  // of a block's n tokens are masked, with weight n / k. The same mean, a lower variance.
  kMaskCounts,
};

NoiseDraw parse_noise_draw(const std::string& name);  // published, independent, permuted, counts

enum class PassForm {
  kSinglePass,  // noisy and clean streams side by side
  kTwoPass,     // the clean stream first, then the noisy one over its keys (Algorithm 1)
};

struct TrainableSpec {
  std::string objective = "bd3lm";  // ar, mdlm, sedd, bd3lm

  std::int64_t layers = 0;
  std::int64_t width = 0;       // D, a multiple of 2 heads
  std::int64_t heads = 0;       // H
  std::int64_t cond_dim = 128;  // C
  std::int64_t vocab_size = 0;  // V, the mask counted
  std::int64_t length = 0;      // L, the longest sequence
  std::int64_t block_size = 0;  // L' of bd3lm, a divisor of L; others do not read it
  std::int64_t mask_id = -1;    // -1: V - 1
  bool adaln = true;  // shift, scale and gate as published; "ar" has none whatever this is

  double dropout = 0.1;       // after attention and after the MLP; in [0, 1), in steps of 2^-16
  std::uint64_t seed = 1;     // of initial weights, noise and dropout
  std::string dtype = "f32";  // f32, or bf16: products in bf16 with f32 weights, norms and losses
  std::int64_t head_rows = 256;  // rows whose logits are held at a time

  // Diffusion objectives.
  NoiseDraw noise_draw = NoiseDraw::kPermuted;
  NoiseInterval interval = {1e-3, 1};
  bool resamples = false;         // masks are drawn again until their fraction is in the interval
  bool keeps_first_clean = true;  // the first token of a sequence is given, never masked
  std::int64_t strata_rows = 16;  // kPermuted, kMaskCounts: examples that share a set of strata
  PassForm pass_form = PassForm::kSinglePass;  // bd3lm

  std::string initial_weights;  // folder to begin from; empty: as the published code begins
};

// The network of a folder and the objective that its config.json tells, beginning from its weights:
// what continues its training, or measures its gradients. All else has its default. Throws
// ConfigError for networks that cannot be trained, DataError for a folder that is none.
TrainableSpec spec_of_folder(const std::string& folder);

// Weights begin as published (every norm 1, modulations and the head 0, all else uniform as
// torch.nn.Linear has it), each tensor a function of (seed, name), or as the folder has them, whose
// tensors must have the same names and shapes. Full masking at L' = 1 is the interval {1, 1}.
//
// Throws ConfigError for settings that do not fit each other, DataError for a folder whose tensors
// do not fit.
std::unique_ptr<Trainable> make_trainable(const TrainableSpec& spec);

}  // namespace dlm
