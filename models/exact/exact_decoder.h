// An exact world sampled block by block: what a perfect block-diffusion model of it would answer.
// Internal to exact_denoiser. Torch-free.
#pragma once

#include <memory>

#include "models/block_decoder.h"
#include "models/exact/exact_world.h"

namespace dlm {

// Logits are log p(x_i | the row's context and the known tokens of the block), f32. Passes are
// added to `counts` as a network would count them: with ContextCache::kOff the context's positions
// too.
std::unique_ptr<BlockDecoder> make_exact_decoder(std::shared_ptr<const ExactWorld> world,
                                                 const DecoderOptions& options, PassCounts& counts);

}  // namespace dlm
