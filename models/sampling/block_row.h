// One text on its way through the block loop, and what a pass makes of it. Internal to
// block_sampler.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "harness/base/random.h"
#include "models/block_decoder.h"
#include "models/sampling/block_sampler.h"
#include "models/sampling/reveal_policy.h"

namespace dlm {

// What every row of a run shares.
struct RowContext {
  const ModelInfo& info;
  std::int64_t mask_id = 0;
  std::int64_t block_size = 1;
  const BlockSampleOptions& options;
  const RevealPolicy& policy;
  bool canvas = false;  // the model sees the whole text
};

class BlockRow {
 public:
  BlockRow(const RowContext& context, const Prompt& prompt, BlockSample& out);

  // Goes on to the next pass this row needs; false where the text has ended. Blocks that hide
  // nothing, and steps that reveal nothing, need none.
  bool prepare();

  // Its part of the next pass.
  DecodeStep step(std::int64_t row) const;

  // Its part of the pass has been made: what `completed` held is stored.
  void passed();

  std::size_t wanted() const { return wanted_.size(); }

  // Reveals with the pass's logits, wanted() x V: up to `most` positions. False where the step is
  // over.
  bool reveal(std::span<float> logits, std::int64_t most);

  // Between two calls of reveal: what the next one needs, written to `logits`, wanted() x V.
  RefreshRow refresh_row(std::int64_t row, std::span<float> logits);

  // After the step's last reveal.
  void finish_step();

 private:
  BlockState state() const;
  bool next_block();
  void close_block();
  void finish(FinishReason reason, std::int64_t length);
  std::span<float> row_of(std::span<float> logits, std::int64_t position) const;
  std::vector<std::int64_t> ranked(std::span<float> logits);
  double score_of(std::span<const float> logits, std::int64_t position) const;
  double drawn_score(std::span<const float> logits, std::int64_t position) const;
  void ban(std::span<float> logits) const;
  bool take_choice(std::span<float> logits);
  bool mask_may_stay() const;
  void draw(std::span<float> logits, std::int64_t position);
  void write(std::int64_t position, std::int64_t token);
  DrawnToken drawn(std::span<const float> logits, std::int64_t position) const;
  std::uint64_t draw_name(std::int64_t position) const;
  void note(double margin);
  [[noreturn]] void fail(std::int64_t position, const char* what) const;

  const RowContext& context_;
  const Prompt& prompt_;
  BlockSample& out_;
  RandomStream tokens_;
  RandomStream places_;
  std::vector<std::int64_t> ids_;  // to the end of the current block
  std::int64_t canvas_ = 0;        // positions asked for
  std::int64_t begin_ = 0;         // of the current block
  std::int64_t size_ = 0;          // of the current block
  std::int64_t stored_ = 0;        // positions the decoder has been given
  std::int64_t checked_ = 0;       // positions that the stop rules have seen
  bool open_ = false;              // a block is under way
  bool live_ = true;
  std::vector<std::int64_t> given_;   // positions in the block that were never hidden
  std::vector<std::int64_t> hidden_;  // that still are
  std::int64_t block_step_ = 0;       // steps of the block
  std::uint64_t step_ = 0;            // steps of the row; names the draws
  std::uint64_t look_ = 0;            // refreshes of the step that need draws of their own
  bool mask_drawn_ = false;           // in this step
  double t_ = 1;
  std::vector<std::int64_t> plan_;  // positions to reveal in this step, those revealed left out
  std::int64_t left_ = -1;          // of them, or -1: not yet decided
  std::int64_t revealed_ = 0;       // the last position revealed
  TokenSource source_ = TokenSource::kLaw;
  bool reads_laws_ = false;           // the step ranks positions by laws
  std::vector<std::int64_t> wanted_;  // rows of the pass
  std::vector<std::int64_t> passes_;  // that revealed each of ids_
};

}  // namespace dlm
