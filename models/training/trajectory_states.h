// The states that a frozen base leaves after every reveal of its trajectories, each computed once
// and kept in memory: windows of a trajectory share all but their last ones, and a training comes
// back to a trajectory hundreds of times.
//
// Shape legend: L positions of a text, R its reveals, S positions that a pass gives states of, D
// width.
#pragma once

#include <cstdint>
#include <map>
#include <vector>

#include <ATen/core/Tensor.h>

#include "models/block_decoder.h"
#include "models/training/adjust_teacher.h"

namespace dlm {

class TrajectoryStates final : public StateSource {
 public:
  // The base must outlive it.
  TrajectoryStates(const BlockDenoiser& base, std::int64_t length, std::int64_t block_size);

  // A trajectory that was not asked about before is run whole, in passes of kRows texts: what it
  // gives does not depend on what was asked for before.
  WindowStates states(const WindowText& of, std::int64_t reveals) override;

 private:
  static constexpr std::int64_t kRows = 16;

  struct Kept {
    std::vector<WindowStates> after;  // (R): after so many reveals, of the block of the next one
  };

  Kept run(const WindowText& of);

  std::int64_t length_, block_size_;
  AdjustTeacher teacher_;
  std::map<std::vector<std::int64_t>, Kept> kept_;  // by text and ranks
};

// Bytes of the states of that many trajectories, of texts of L tokens behind P given ones.
struct TrajectoryShape {
  std::int64_t count = 0, length = 0, prompt_tokens = 0, block_size = 0;
};

double trajectory_states_bytes(const BlockDenoiser& base, const TrajectoryShape& of);

}  // namespace dlm
