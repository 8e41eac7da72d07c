// The interface of models that fill in hidden tokens of a block given the clean blocks before it:
// block diffusion, masked diffusion (one block as long as the sequence), and the exact worlds.
// Torch-free.
//
// L' block size; block b of a sequence holds positions b L' .. (b+1) L' - 1.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "models/language_model.h"

namespace dlm {

// One noisy block: which of its tokens are hidden. The others, and all earlier blocks, are as in
// the clean sequence.
struct MaskQuery {
  std::int64_t sequence = 0;  // index into the encoded sequences
  std::int64_t block = 0;
  std::vector<std::int64_t> masked;  // positions inside the block, ascending; at least one
  double t = 1;                      // noise level; only time-conditioned models read it
};

// What a model keeps of clean sequences: for a network the keys and values of every block but the
// last, computed once and read by any number of mask draws.
class CleanContext {
 public:
  virtual ~CleanContext() = default;
  virtual std::int64_t block_size() const = 0;
};

// What token_terms returns and how an estimator has to weigh it.
enum class DenoiserLoss {
  kMaskedCrossEntropy,  // -log p(x_i | known tokens); weight 1/t (or n/k for a mask of k of n
                        // tokens)
  kScoreEntropy,  // SEDD: the score-entropy term at noise level t, its weight d sigma included
};

class Denoiser {
 public:
  virtual ~Denoiser() = default;

  virtual const ModelInfo& info() const = 0;

  virtual DenoiserLoss loss() const = 0;

  virtual std::int64_t mask_id() const = 0;

  // The block size the model was trained with; 0 = any (exact worlds).
  virtual std::int64_t trained_block_size() const = 0;

  // Sequences of one length L (a multiple of block_size, at most info().max_length), without mask
  // ids. Throws ConfigError for tokens outside the vocabulary, a mask id, an empty sequence,
  // lengths that do not fit.
  virtual std::unique_ptr<CleanContext> encode(std::span<const std::vector<std::int64_t>> sequences,
                                               std::int64_t block_size) const = 0;

  // result[q][j]: the term (nats, f64) of hidden position queries[q].masked[j]. One network pass
  // for all queries where memory allows. Throws ConfigError for a query that does not fit,
  // InternalError for a value that is not finite.
  virtual std::vector<std::vector<double>> token_terms(
      const CleanContext& context, std::span<const MaskQuery> queries) const = 0;

  virtual PassCounts counts() const = 0;
};

}  // namespace dlm
