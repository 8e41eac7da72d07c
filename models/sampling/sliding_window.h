// Texts longer than a masked diffusion model sees, half a window at a time: the baseline that block
// diffusion is compared with. Torch-free.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "models/sampling/block_sampler.h"

namespace dlm {

// One window of options.block_size positions (0 = the model's length) is filled as one block; then,
// over and over, its second half moves to the front and half a window is filled behind it. `ids`,
// `nfe`, `canvas`, `revealed_in` and `margin` are those of the whole text; tokens that have left
// the window are forgotten. The windows of a text draw different numbers. A text ends as
// options.stop says, where each window is looked at. Throws as sample_blocks; for an odd window;
// for a prompt longer than a window. Source: mdlm diffusion.py sample_subs_guidance (stride = half
// a window); bd3lms diffusion.py _semi_ar_sampler for MDLM.
std::vector<BlockSample> sample_sliding_windows(const BlockDenoiser& model,
                                                std::span<const Prompt> prompts,
                                                const BlockSampleOptions& options);

}  // namespace dlm
