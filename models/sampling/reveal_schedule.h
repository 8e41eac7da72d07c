// How many positions a step reveals where that is fixed beforehand. Torch-free.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace dlm {

struct BlockState;
struct RevealOptions;

// "exact": K a step, or in T steps n / T, the first n mod T of them one more.
// "dream": in T steps, or n / K rounded up, times tau = linspace(1, eps, T + 1): step i reveals
// trunc(hidden (1 - tau_{i+1} / tau_i)), the last one the rest. In f32, as published: K - 1 at
// first, K + 1 at last, and nothing in the first of as many steps as tokens. Source: Dream
// generation_utils.py _sample.
class RevealSchedule {
 public:
  // Throws ConfigError for another name, or an end of the times outside [0, 1).
  explicit RevealSchedule(const RevealOptions& options);

  // Positions that the step reveals; 0 only for "dream".
  std::int64_t at(const BlockState& state) const;

 private:
  std::int64_t dream_at(const BlockState& state) const;

  std::int64_t per_step_;
  std::int64_t steps_;
  bool is_dream_;
  double eps_;
};

// 1 - tau_{i+1} / tau_i in f32; 1 at the last of `steps` steps and beyond.
float dream_reveal_share(std::int64_t step, std::int64_t steps, double eps);

}  // namespace dlm
