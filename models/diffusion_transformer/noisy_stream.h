// The noisy stream of the two: blocks with hidden tokens, each attending to itself and to the clean
// blocks before it.
#pragma once

#include <cstdint>
#include <vector>

#include <ATen/core/Tensor.h>

#include "harness/base/record.h"
#include "models/diffusion_transformer/clean_stream.h"
#include "models/diffusion_transformer/dit_network.h"

namespace dlm {

// Rows that share an attention call: enough for the kernel's products, few enough that little of
// the strip is hidden.
inline constexpr std::int64_t kRowsPerCall = 64;

struct NoisyBlock {
  std::int64_t sequence = 0;  // of the clean keys
  std::int64_t block = 0;     // sees those before block * L'
};

// Blocks in order of sequence, then of falling block index.
struct NoisyBatch {
  std::int64_t block_size = 1;
  std::vector<NoisyBlock> blocks;
  std::vector<std::int64_t> ids;     // L' per block
  std::vector<std::int64_t> wanted;  // rows (block index here * L' + position) to return
  std::vector<double> sigma;         // of each block; only time-conditioned models read it
};

struct NoisyResult {
  at::Tensor rows;  // (wanted, D): after the final norm, what the head reads
  PassCounts cost;
};

// The last layer's output projection and MLP are computed for wanted rows only. Keys of noisy
// blocks are laid behind the clean ones they see in one scratch, largest block first, so nothing is
// copied per block; the bias covers the few rows of a call.
NoisyResult noisy_pass(const Dit& dit, const NoisyBatch& batch, const CleanKeys& clean);

}  // namespace dlm
