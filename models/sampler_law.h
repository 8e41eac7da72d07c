// The law of what a sampler writes with a network, exactly: every state of the block loop is gone
// through and no draw made. For networks whose texts can be enumerated. With the law of one token
// per step as the truth, kl_divergence (models/exact/policy_law.h) gives the price of K tokens per
// step, without and with an ADJUST layer. Of exact worlds themselves: policy_law, in f64.
#pragma once

#include <cstdint>
#include <vector>

#include "models/adjust_network.h"
#include "models/block_decoder.h"
#include "models/sampling/reveal_policy.h"
#include "models/sampling/token_filter.h"

namespace dlm {

struct SamplerLawOptions {
  std::int64_t length = 0;      // L, of texts written from nothing
  std::int64_t block_size = 0;  // L'; 0 = L
  RevealOptions reveal = {};
  TokenFilter filter = {};                    // temperature above 0
  std::vector<std::int64_t> banned_ids = {};  // never drawn
  std::int64_t batch_size = 256;              // rows of a pass; changes the law by rounding at most
};

// The law of the text that sample_blocks writes; with `layer`, refreshed after each reveal of a
// step but its last. v^L probabilities (v = vocabulary without the mask, ids in their order), the
// first token the slowest to change. A network that reads the noise level is told the share of
// hidden tokens, as the samplers do whose steps follow from K. Sums to 1 within rounding.
//
// Refreshed laws depend on the order of a step's reveals, so all its orders are gone through: with
// left_to_right and the policies that rank positions there are v^L at most, with random K! times
// as many.
//
// Throws ConfigError for a block size that does not divide L, bad options, policies that rank what
// was drawn, more than 2^24 partial texts, (v + 1)^L, and a layer on a model without hidden states.
std::vector<double> sampler_law(const BlockDenoiser& model, const AdjustNetwork* layer,
                                const SamplerLawOptions& options);

}  // namespace dlm
