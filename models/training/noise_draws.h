// The masks of a training batch and the weights of their losses.
#pragma once

#include <cstdint>
#include <vector>

#include "models/training/make_trainable.h"

namespace dlm {

// What the draws of a batch depend on beside its examples' numbers.
struct NoiseRecipe {
  NoiseDraw draw = NoiseDraw::kPermuted;
  NoiseInterval interval = {1e-3, 1};
  bool resamples = false;
  bool keeps_first_clean = true;
  bool weighs_terms = true;  // false: terms carry their weight (score entropy)
  std::int64_t strata_rows = 16;
  std::uint64_t seed = 1;
};

// The examples first .. first + rows - 1, each of `blocks` blocks of `block_size` tokens.
struct BatchBlocks {
  std::uint64_t first = 0;
  std::int64_t rows = 0;
  std::int64_t blocks = 0;
  std::int64_t block_size = 0;
};

struct BlockNoise {
  std::int64_t row = 0;
  std::int64_t block = 0;
  double t = 1;
  std::vector<std::int64_t> masked;  // positions inside the block, ascending; may be empty
  double weight = 1;                 // of a masked token's term in the loss
  double bound_weight = 1;           // of it in the bound; NaN where there is none
};

// Every block's noise, rows in order and blocks rising. All but kPublished depend on the example's
// number alone, not on the batch around it. Throws ConfigError as resampled_mask.
std::vector<BlockNoise> draw_noise(const NoiseRecipe& recipe, const BatchBlocks& batch);

}  // namespace dlm
