// What a frozen base says of windows of its own trajectories: the states that an ADJUST layer
// begins with, and the laws that it has to come to after each reveal.
//
// Shape legend: W windows, S positions that a pass gives states of, D width, V vocabulary with the
// mask, L positions of a text.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include <ATen/core/Tensor.h>

#include "models/block_decoder.h"
#include "models/training/adjust_unroll.h"
#include "models/training/trajectories.h"

namespace dlm {

// The embedding and the head of a network that shows its hidden states, read through its interface:
// a head is affine, so its values at 0 and at unit vectors are its bias and its weight. Throws
// ConfigError for a model without hidden states.
AdjustBase adjust_base(const BlockDenoiser& base);

// A window with its text.
struct WindowText {
  std::vector<std::int64_t> text;  // (L)
  std::vector<std::int64_t> rank;  // (L): which reveal a position is; -1 of the prompt
  TrajectoryWindow window;

  // Hidden positions in the block after `reveals` reveals of the window, ascending.
  std::vector<std::int64_t> hidden(std::int64_t reveals, std::int64_t block_size) const;
};

// What the base left of a text with some of its tokens hidden.
struct WindowStates {
  at::Tensor states;       // (S, D) f32
  std::int64_t first = 0;  // position of the first of them
};

// Where a teacher finds states that are there already (trajectory_states.h).
class StateSource {
 public:
  virtual ~StateSource() = default;

  // Of the text after `reveals` reveals of the window.
  virtual WindowStates states(const WindowText& of, std::int64_t reveals) = 0;
};

class AdjustTeacher {
 public:
  // Of up to `most` windows at a time. The base must outlive it.
  AdjustTeacher(const BlockDenoiser& base, std::int64_t length, std::int64_t block_size,
                std::int64_t most);

  // States come from `source` from now on, and laws from them through the head: the network itself
  // is not run. Both must outlive the teacher.
  void read_states_from(StateSource& source, const AdjustBase& base);

  // Windows to ask about from now on; they must outlive the questions.
  void begin(std::span<const WindowText> windows);

  // States (W S, D) f32 of every window before its reveals.
  at::Tensor states();

  // Of the windows with flags set, hidden positions in order after `reveals` reveals of each; laws
  // (M, V) with sum p ln p, and which rows of the W S they are. Weights: 1 / hidden positions of
  // the window. ids: of all windows, after at most as many reveals as each has.
  AdjustTarget target(std::int64_t reveals, std::span<const char> flags);

  // The laws of `of` as those before the window's reveals: logits (M, V) f32 of its rows. states()
  // must have been asked for before.
  at::Tensor first_logits(const AdjustTarget& of, const AdjustBase& base) const;

  // Position of the first state of window w. states() must have been asked for before.
  std::int64_t first_position(std::size_t w) const { return firsts_[w]; }

 private:
  struct Part {
    std::vector<std::int64_t> block, wanted;
  };

  std::int64_t hideable(const WindowText& of) const;
  std::span<float> step(std::int64_t reveals, std::span<const char> flags);
  at::Tensor head_logits(std::int64_t reveals, std::span<const char> flags);
  std::vector<std::int64_t> canvas(const WindowText& of, std::int64_t reveals) const;

  const BlockDenoiser& base_;
  StateSource* source_ = nullptr;
  const AdjustBase* head_of_ = nullptr;  // where there is a source
  std::int64_t length_, block_size_;
  std::unique_ptr<BlockDecoder> decoder_;
  std::span<const WindowText> windows_;
  std::vector<char> sent_;            // whether the row has its finished blocks
  std::vector<Part> parts_;           // of the last step, by window
  at::Tensor states_;                 // (W S, D)
  std::vector<std::int64_t> firsts_;  // position of the first state of each window
};

}  // namespace dlm
