// The interface of models that can be sampled block by block: one pass after another over blocks
// with hidden tokens, the finished blocks before them kept between passes. Torch-free.
//
// L' block size, V vocabulary with the mask where the model has one.
#pragma once

#include <cstdint>
#include <memory>
#include <span>

#include "harness/base/error.h"
#include "models/denoiser.h"

namespace dlm {

class HiddenModel;  // models/hidden_states.h: they hold tensors
class HiddenSource;

enum class ContextCache {
  kOn,   // keys and values of finished blocks are kept: a pass computes what is new
  kOff,  // each pass computes the whole context again: the reference the cache is tested against
};

// Of models that see the whole text: which keys and values a pass takes over from the pass that
// began the block, as an approximation: they have not seen what was revealed since. Source: Wu et
// al., arXiv:2505.22618; Fast-dLLM llada/generate.py.
enum class StaleKeys {
  kNone,
  kPrefix,  // those before the block: a pass computes the block and what lies behind it
  kDual,    // those before and behind it: a pass computes the block
};

// Of models whose logits at one position are of the next token: where a pass with stale keys
// begins.
enum class SliceStart {
  kLookBack,  // one position before the block, so that its first token has logits
  kBlock,     // at the block, as published: its first token gets those of its second
};

struct DecoderOptions {
  std::int64_t rows = 1;  // texts in work at a time
  std::int64_t block_size = 1;
  std::int64_t longest = 1;  // positions of the longest row, its last block included
  ContextCache cache = ContextCache::kOn;
  // The rest is of models that see the whole text; others refuse all but the defaults.
  StaleKeys stale_keys = StaleKeys::kNone;
  SliceStart slice_start = SliceStart::kLookBack;
  // Classifier-free guidance: logits are u + guidance (c - u), u those with the prompt hidden.
  double guidance = 1;
  bool keeps_hidden = false;  // hidden states of a pass can be asked for (hidden_source)
};

// Throws ConfigError for guidance and stale keys: for models that do not see the whole text.
inline void check_sees_blocks_only(const DecoderOptions& options) {
  if (options.stale_keys != StaleKeys::kNone)
    throw ConfigError("stale_keys", "of a model that sees finished blocks only",
                      "none: its cache is exact");
  if (options.guidance != 1)
    throw ConfigError("guidance", fmt::format("{}", options.guidance),
                      "1: only models that see the whole text can hide the prompt");
}

// One row's part of a pass.
struct DecodeStep {
  std::int64_t row = 0;
  // Clean tokens behind those the row holds: whole blocks, without masks. The pass stores them, so
  // a finished block and the first step of the next one share a pass.
  std::span<const std::int64_t> completed = {};
  std::span<const std::int64_t> block = {};   // L' ids, the mask id where hidden
  std::span<const std::int64_t> wanted = {};  // positions inside the block, ascending
  double t = 1;                               // noise level; only time-conditioned models read it
  // Of models that see the whole text: hidden tokens behind the block, and the row's prompt, whose
  // hidden tokens are the mask id.
  std::int64_t masks_behind = 0;
  std::span<const std::int64_t> prompt = {};
};

// Rows of text on their way, owned by the loop over steps. Where a row passes the model's
// max_length, its oldest blocks drop out, and what is kept of the others still carries what they
// saw of the dropped ones (with the cache; without it the window is encoded anew). Source: bd3lms
// models/hf/modeling_bd3lm.py, DDiTBlock.get_qkv and its kv_cache.
class BlockDecoder {
 public:
  virtual ~BlockDecoder() = default;

  virtual std::int64_t rows() const = 0;

  // Clean positions that the next block of the row will see.
  virtual std::int64_t context_length(std::int64_t row) const = 0;

  // Forgets a row, so that another text can take its place.
  virtual void clear(std::int64_t row) = 0;

  // One pass; at most one step for each row, rows ascending. Returns logits (or log-probabilities,
  // or log-scores where loss() is kScoreEntropy)
  // of the wanted positions, steps in order: V f32 each, the mask's is -inf. The memory may be
  // written to and is the decoder's until its next pass. Throws ConfigError for ids outside the
  // vocabulary and for a row beyond DecoderOptions::longest.
  virtual std::span<float> step(std::span<const DecodeStep> steps) = 0;

  // The hidden states that passes leave, with DecoderOptions::keeps_hidden; else null.
  virtual const HiddenSource* hidden_source() const { return nullptr; }
};

// A denoiser that can be sampled from.
class BlockDenoiser : public Denoiser {
 public:
  // Every position sees every other one, so a text is a canvas of known length: the prompt and the
  // new tokens, hidden at first. Blocks are counted from the end of the prompt, and a block sees
  // those behind it as masks. Any block size will do.
  virtual bool sees_whole_text() const { return false; }

  // Throws ConfigError for a block size or cache use that the model does not take.
  virtual std::unique_ptr<BlockDecoder> new_decoder(const DecoderOptions& options) const = 0;

  // The network around its hidden states, as long as the model lives; null where there are none to
  // show (exact worlds) or they are of no law of tokens (score entropy).
  virtual const HiddenModel* hidden_model() const { return nullptr; }
};

}  // namespace dlm
