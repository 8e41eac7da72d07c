// One pass of decoding: for each row, whole clean blocks that are stored as they are computed, and
// behind them one block with hidden tokens. Rows may stand at different places.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include <ATen/core/Tensor.h>

#include "harness/base/record.h"
#include "models/block_decoder.h"
#include "models/diffusion_transformer/block_cache.h"
#include "models/diffusion_transformer/dit_network.h"

namespace dlm {

// What a pass needs to know beside its steps.
struct DecodeShape {
  std::int64_t block_size = 1;
  std::int64_t context = 0;   // clean positions a block may see: the model's length less L'
  std::vector<double> sigma;  // of each step; only time-conditioned models read it
};

struct DecodeResult {
  at::Tensor rows;  // (wanted, D) after the final norm, steps in order
  PassCounts cost;
};

// A clean block sees the row's window and itself; the block behind it sees the last `context` clean
// positions and itself. Its own keys lie behind the window and are written over by the next pass.
// Rows that stand alike and lie side by side share an attention call. Of the last layer only wanted
// rows go on after attention.
DecodeResult decode_pass(const Dit& dit, std::span<const DecodeStep> steps,
                         const DecodeShape& shape, BlockCache& cache);

}  // namespace dlm
