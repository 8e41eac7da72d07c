// The clean stream of the two: the sequences themselves, attending to their own block and those
// before it. Run once per sequence; its keys and values serve any number of noisy blocks.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include <ATen/core/Tensor.h>

#include "harness/base/record.h"
#include "models/diffusion_transformer/dit_network.h"

namespace dlm {

// Per layer (S, H, Lc, head_dim), keys rotated; S sequences, Lc = L - L' positions, as nobody sees
// the last block. Empty where a sequence has one block only.
struct CleanKeys {
  std::vector<at::Tensor> keys, values;
};

// Uninitialised room for S sequences.
CleanKeys new_clean_keys(const Dit& dit, std::int64_t sequences, std::int64_t length);

// Which sequences a pass reads: ids (S', Lc) int64, stored from sequence `first` on.
struct CleanBatch {
  at::Tensor ids;
  std::int64_t first = 0;
  std::int64_t block_size = 1;
  std::vector<double> sigma;  // of each sequence; only time-conditioned models read it
};

// Of the last layer only keys and values are computed: nothing else of it is ever read. Attention
// takes a few blocks at a time with a bias over one strip of queries, never L x L. Returns what the
// pass cost.
PassCounts clean_pass(const Dit& dit, const CleanBatch& batch, CleanKeys& into);

}  // namespace dlm
