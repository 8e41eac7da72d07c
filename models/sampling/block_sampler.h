// Text from a denoiser: the one loop over blocks. What a step reveals is a policy's choice
// (reveal_policy.h), what a token is drawn from is a filter's (token_filter.h), what a pass costs
// and keeps is the decoder's (block_decoder.h). L' = 1 is left to right, token by token; L' = the
// whole length is full diffusion. Neither times nor stores. Torch-free.
#pragma once

#include <cstdint>
#include <limits>
#include <span>
#include <vector>

#include "models/block_decoder.h"
#include "models/sampling/autoregressive.h"
#include "models/sampling/reveal_policy.h"
#include "models/sampling/stop_rules.h"
#include "models/sampling/token_law.h"

namespace dlm {

// One row of a step, between two of its reveals.
struct RefreshRow {
  std::int64_t row = 0;                  // of the decoder
  std::span<const std::int64_t> ids;     // the text to the end of its block, masks in place
  std::int64_t begin = 0;                // where the block begins
  std::int64_t revealed = 0;             // position in the block, just revealed
  std::vector<std::int64_t> hidden;      // positions in the block still hidden, ascending
  std::vector<std::int64_t> wanted;      // of them, those that the next reveal looks at
  std::vector<std::span<float>> logits;  // of each wanted one, V: to be written
  std::int64_t masks_behind = 0;         // that the model sees behind the block
};

// Makes the laws of a step's later reveals depend on its earlier ones. A step of K tokens is one
// pass of the model and K - 1 refreshes. Where the policy ranks positions by their laws, it does so
// anew after each refresh, and every hidden position goes through the head; where it has chosen
// them before, only the next one does. Bans hold at each reveal.
class Refresh {
 public:
  virtual ~Refresh() = default;

  // Reads the decoder's hidden states: it has to keep them (DecoderOptions::keeps_hidden).
  virtual bool reads_hidden() const { return false; }

  // A pass has been made, for these rows of the decoder.
  virtual void begin(BlockDecoder& decoder, std::span<const std::int64_t> rows) {
    (void)decoder;
    (void)rows;
  }

  // After each reveal of a step but its last, for all rows of the pass that have more to reveal.
  virtual void refresh(std::span<RefreshRow> rows) = 0;
};

// Takes back tokens after a step.
struct RemaskView {
  std::span<const std::int64_t> block;  // L' ids, masks in place
  std::span<const std::int64_t> given;  // positions that were never hidden, and stay
  std::int64_t step = 0;                // of the block, from 0
};

class Remask {
 public:
  virtual ~Remask() = default;

  // Positions in the block to hide again, ascending. The policy's steps go on counting.
  virtual std::vector<std::int64_t> hide_again(const RemaskView& view) = 0;
};

// Which draw: a token's row, step and place.
struct DrawName {
  std::uint64_t example = 0;
  std::uint64_t replicate = 0;
  std::uint64_t step = 0;
  std::int64_t position = 0;
};

// Draws tokens in place of the random stream (to replay recorded draws).
class TokenDraws {
 public:
  virtual ~TokenDraws() = default;
  virtual DrawnToken draw(const TokenLaw& law, const DrawName& name) = 0;
};

// A step after its pass, before anything is revealed.
struct ChoiceView {
  DrawName name;                         // of the step; the position is where the block begins
  std::span<const std::int64_t> ids;     // the text to the end of its block, masks in place
  std::int64_t begin = 0;                // where the block begins
  std::span<const std::int64_t> hidden;  // positions in the block, ascending
  std::vector<std::span<const float>> logits;  // of each of them, V
  std::span<const std::int64_t> ranked;        // the same positions in the policy's order
  std::int64_t count = 0;                      // that the policy would reveal
};

struct ChosenToken {
  std::int64_t position = 0;  // in the block, hidden
  std::int64_t token = 0;
};

// Decides what a step reveals, in place of the policy and the draws; for policies that read laws.
class StepChoice {
 public:
  virtual ~StepChoice() = default;

  // At least one position.
  virtual std::vector<ChosenToken> choose(const ChoiceView& view) = 0;
};

struct SamplerHooks {
  const RevealPolicy* policy = nullptr;  // in place of the named one
  Refresh* refresh = nullptr;
  Remask* remask = nullptr;
  TokenDraws* draws = nullptr;
  StepChoice* choice = nullptr;
};

struct BlockSampleOptions {
  std::int64_t block_size = 0;  // L'; 0 = the model's
  std::int64_t max_new_tokens = 128;
  RevealOptions reveal = {};
  TokenFilter filter = {};
  StopRules stop = {};
  PastContext past_context = PastContext::kStop;
  ContextCache cache = ContextCache::kOn;
  // Of models that see the whole text, see DecoderOptions.
  StaleKeys stale_keys = StaleKeys::kNone;
  SliceStart slice_start = SliceStart::kLookBack;
  double guidance = 1;
  std::vector<std::int64_t> banned_ids = {};  // never drawn
  // Drawn, but revealed only where no other position is left: their score is 0, and the laws that
  // rank others are without them. Source: LLaDA generate.py confidence_eos_eot_inf.
  std::vector<std::int64_t> late_ids = {};
  std::int64_t batch_size = 8;  // rows of a network pass; changes no result
  std::uint64_t seed = 1;
  std::uint64_t first_step = 0;  // of every row: where it goes on from an earlier call
  SamplerHooks hooks = {};
};

struct BlockSample {
  std::vector<std::int64_t> ids;  // prompt, its hidden tokens filled in, and new tokens
  std::int64_t prompt_tokens = 0;
  FinishReason finish = FinishReason::kLength;
  std::int64_t nfe = 0;        // passes of the model this text took part in
  std::int64_t refreshes = 0;  // that this text took part in, with a Refresh hook
  std::int64_t canvas = 0;     // tokens drawn, those after the end of the text included
  // The pass (of this text, from 1) that revealed each of `ids`, the last where it was hidden
  // again; 0 = given.
  std::vector<std::int64_t> revealed_in;
  // The smallest distance of any decision from another one, in probability (of positions: in the
  // policy's score; of an argmax: in logits). Where two runs of the same seed differ, a rounding
  // error of this size was enough.
  double margin = std::numeric_limits<double>::infinity();
};

// A model that sees the whole text gets it as a canvas: prompt, then max_new_tokens in blocks of L'
// (0 = one), which must divide them; what is hidden in the prompt is filled in with the first
// block. Where such a model counts the mask as a token (MaskLogit), one that is drawn leaves its
// position hidden, and the steps that a block then needs beyond its tokens ban it.
//
// Continues every prompt by max_new_tokens; result[i] belongs to prompts[i]. A prompt may be empty,
// and may hold the mask id: such tokens are filled in, each block seeing itself and those before.
// The text is cut into blocks from its first token on, so tokens of the prompt in a block that is
// not full stay fixed; a last block that is only partly asked for is generated whole, then cut.
//
// A row draws the token at position i in its step s with
// RandomStream(seed, Purpose::kTokenDraw, example, replicate).uniform(s, i) by inverse CDF, and its
// policy's choices with Purpose::kPositionDraw. After refresh r of a step whose positions are
// drawn, or ranked by the tokens that they draw, the place in both names is i + r 2^40: what draws
// of the step have decided they do not decide again. So a result depends on batch size, threads,
// order of prompts and cache only as far as the rounding of logits does. A text that ends leaves
// its place in the batch to the next prompt. Policies that rank positions do so by the filtered
// laws, at temperature 0 by those at temperature 1.
//
// Throws ConfigError for an option out of range, an id outside [0, V), a prompt longer than
// max_length; InternalError naming the model's family, the example and the position where the model
// returns NaN.
std::vector<BlockSample> sample_blocks(const BlockDenoiser& model, std::span<const Prompt> prompts,
                                       const BlockSampleOptions& options);

}  // namespace dlm
