// The sampler of score entropy models: all positions at once, each hidden one left to the chances
// that the scores give. Source: Lou et al., arXiv:2310.16834, algorithm 2 (Tweedie tau-leaping);
// bd3lms diffusion.py _analytic_sampler, Score-Entropy-Discrete-Diffusion sampling.py.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "models/block_decoder.h"
#include "models/diffusion_transformer/noise.h"
#include "models/sampling/block_sampler.h"

namespace dlm {

struct AnalyticOptions {
  std::int64_t length = 0;    // positions of a text, its prompt included; 0 = the model's length
  std::int64_t steps = 1000;  // T: times from 1 down to 1e-5, and a last step that hides nothing
  NoiseConvention noise = NoiseConvention::kClipped;  // the model's
  // As published, below 1 the scores are first made a law over the vocabulary and the mask, so they
  // are no ratios any more, and the mask's share keeps tokens hidden while it dominates.
  double nucleus_p = 1;
  NucleusRule nucleus_rule = NucleusRule::kDrop;
  std::int64_t batch_size = 8;
  std::uint64_t seed = 1;
  TokenDraws* draws = nullptr;  // as SamplerHooks
};

// Fills every prompt up to `length`; known tokens stay (the published code turns them into token 0
// where the nucleus cuts them off). A text takes part in a pass only while it hides something.
// Draws are named by (step, position). Throws ConfigError for a model that gives no scores, options
// out of range, ids outside the vocabulary and a prompt longer than the text.
std::vector<BlockSample> sample_analytic(const BlockDenoiser& model,
                                         std::span<const Prompt> prompts,
                                         const AnalyticOptions& options);

}  // namespace dlm
