#include "models/training/trajectory_states.h"

#include <algorithm>
#include <utility>

#include "harness/base/error.h"
#include "models/adjust_layer.h"
#include "models/hidden_states.h"

namespace dlm {

TrajectoryStates::TrajectoryStates(const BlockDenoiser& base, std::int64_t length,
                                   std::int64_t block_size)
    : length_(length), block_size_(block_size), teacher_(base, length, block_size, kRows) {}

WindowStates TrajectoryStates::states(const WindowText& of, std::int64_t reveals) {
  std::vector<std::int64_t> name = of.text;
  name.insert(name.end(), of.rank.begin(), of.rank.end());
  auto found = kept_.find(name);
  if (found == kept_.end())
    found = kept_.emplace(std::move(name), run(of)).first;
  const auto number = static_cast<std::size_t>(of.window.start + reveals);
  DLM_CHECK(number < found->second.after.size(), "states after {} reveals of {}", number,
            found->second.after.size());
  return found->second.after[number];
}

TrajectoryStates::Kept TrajectoryStates::run(const WindowText& of) {
  std::vector<std::int64_t> place(of.text.size());  // of each reveal
  std::int64_t reveals = 0, prompt = 0;
  for (std::size_t i = 0; i < of.rank.size(); ++i) {
    if (of.rank[i] < 0) {
      ++prompt;
      continue;
    }
    place[static_cast<std::size_t>(of.rank[i])] = static_cast<std::int64_t>(i);
    ++reveals;
  }
  // Blocks lie as those of the window, whose begin is one of theirs.
  const std::int64_t origin = of.window.begin % block_size_;
  Kept kept;
  for (std::int64_t start = 0; start < reveals; start += kRows) {
    std::vector<WindowText> part;
    for (std::int64_t number = start; number < std::min(reveals, start + kRows); ++number) {
      WindowText one = {of.text, of.rank, {}};
      const std::int64_t next = place[static_cast<std::size_t>(number)];
      one.window = {next - (next - origin) % block_size_, number, 0};
      part.push_back(std::move(one));
    }
    teacher_.begin(part);
    const at::Tensor states = teacher_.states();
    const std::int64_t positions = states.size(0) / std::ssize(part);
    for (std::size_t w = 0; w < part.size(); ++w)
      kept.after.push_back(
          {states.narrow(0, static_cast<std::int64_t>(w) * positions, positions).clone(),
           teacher_.first_position(w)});
  }
  return kept;
}

double trajectory_states_bytes(const BlockDenoiser& base, const TrajectoryShape& of) {
  const std::int64_t positions = base.sees_whole_text() ? of.length : of.block_size;
  return static_cast<double>(of.count) * static_cast<double>(of.length - of.prompt_tokens) *
         static_cast<double>(positions * hidden_model_of(base).network_shape().width) *
         sizeof(float);
}

}  // namespace dlm
