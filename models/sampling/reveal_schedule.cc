#include "models/sampling/reveal_schedule.h"

#include <algorithm>

#include "harness/base/error.h"
#include "models/sampling/reveal_policy.h"

namespace dlm {
namespace {

// Element i of torch.linspace(1, end, count) in f32, which counts from the nearer end.
float linspace_from_one(float end, std::int64_t count, std::int64_t i) {
  const float step = (end - 1.0F) / static_cast<float>(count - 1);
  return i < count / 2 ? 1.0F + step * static_cast<float>(i)
                       : end - step * static_cast<float>(count - 1 - i);
}

}  // namespace

float dream_reveal_share(std::int64_t step, std::int64_t steps, double eps) {
  if (step + 1 >= steps)
    return 1;
  const auto end = static_cast<float>(eps);
  return 1.0F -
         linspace_from_one(end, steps + 1, step + 1) / linspace_from_one(end, steps + 1, step);
}

RevealSchedule::RevealSchedule(const RevealOptions& options)
    : per_step_(options.tokens_per_step),
      steps_(options.steps),
      is_dream_(options.schedule == "dream"),
      eps_(options.eps) {
  if (!is_dream_ && options.schedule != "exact")
    throw ConfigError("schedule", options.schedule, "exact or dream");
  if (!(eps_ >= 0 && eps_ < 1))
    throw ConfigError("eps", fmt::format("{}", eps_), "a number in [0, 1)");
}

std::int64_t RevealSchedule::at(const BlockState& state) const {
  const std::int64_t left = std::ssize(state.hidden);
  if (is_dream_)
    return dream_at(state);
  if (steps_ == 0)
    return std::min(per_step_, left);
  if (state.step + 1 >= steps_)
    return left;
  const std::int64_t extra = state.step < state.hidden_at_start % steps_ ? 1 : 0;
  return std::clamp<std::int64_t>(state.hidden_at_start / steps_ + extra, 1, left);
}

std::int64_t RevealSchedule::dream_at(const BlockState& state) const {
  const std::int64_t left = std::ssize(state.hidden);
  const std::int64_t steps =
      steps_ > 0 ? steps_ : (state.hidden_at_start + per_step_ - 1) / per_step_;
  if (state.step + 1 >= steps)
    return left;
  return static_cast<std::int64_t>(static_cast<float>(left) *
                                   dream_reveal_share(state.step, steps, eps_));
}

}  // namespace dlm
