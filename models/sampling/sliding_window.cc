#include "models/sampling/sliding_window.h"

#include <algorithm>

#include "harness/base/error.h"

namespace dlm {
namespace {

// Steps that one window may take, in the names of its draws.
constexpr std::uint64_t kStepsPerWindow = std::uint64_t{1} << 32;

// What a later window adds to its text.
void append_window(const BlockSample& window, const StopRules& rules, std::int64_t wanted,
                   BlockSample& text) {
  const auto before = std::ssize(text.ids);
  for (std::size_t i = static_cast<std::size_t>(window.prompt_tokens); i < window.ids.size(); ++i)
    text.revealed_in.push_back(text.nfe + window.revealed_in[i]);
  text.ids.insert(text.ids.end(), window.ids.begin() + window.prompt_tokens, window.ids.end());
  text.nfe += window.nfe;
  text.refreshes += window.refreshes;
  text.canvas += window.canvas;
  text.margin = std::min(text.margin, window.margin);
  if (std::ssize(text.ids) > wanted)
    text.ids.resize(static_cast<std::size_t>(wanted));
  const auto stop = find_stop(text.ids, text.prompt_tokens, before, rules);
  if (stop) {
    text.finish = finish_reason_of(stop->reason);
    text.ids.resize(static_cast<std::size_t>(stop->length));
  }
  text.revealed_in.resize(text.ids.size());
}

}  // namespace

std::vector<BlockSample> sample_sliding_windows(const BlockDenoiser& model,
                                                std::span<const Prompt> prompts,
                                                const BlockSampleOptions& options) {
  if (model.sees_whole_text())
    throw ConfigError("sampler", "of sliding windows", "another: the model sees the whole text");
  BlockSampleOptions window = options;
  if (window.block_size == 0)
    window.block_size = model.trained_block_size();
  const std::int64_t half = window.block_size / 2;
  if (window.block_size < 2 || window.block_size % 2 != 0)
    throw ConfigError("block_size", fmt::to_string(window.block_size), "an even window");
  std::vector<BlockSample> texts;
  // A first window for each length of prompt: it is filled to its end.
  for (const Prompt& prompt : prompts) {
    if (std::ssize(prompt.ids) > window.block_size)
      throw ConfigError("prompt", fmt::format("{} tokens", prompt.ids.size()),
                        fmt::format("at most a window, {}", window.block_size));
    window.max_new_tokens =
        std::min(options.max_new_tokens, window.block_size - std::ssize(prompt.ids));
    texts.push_back(sample_blocks(model, std::span(&prompt, 1), window).front());
  }
  while (true) {
    std::vector<Prompt> known;
    std::vector<std::size_t> going_on;
    for (std::size_t i = 0; i < texts.size(); ++i) {
      const std::int64_t wanted = texts[i].prompt_tokens + options.max_new_tokens;
      if (texts[i].finish != FinishReason::kLength || std::ssize(texts[i].ids) >= wanted)
        continue;
      known.push_back({{texts[i].ids.end() - half, texts[i].ids.end()},
                       prompts[i].example,
                       prompts[i].replicate});
      going_on.push_back(i);
    }
    if (known.empty())
      return texts;
    window.first_step += kStepsPerWindow;
    window.max_new_tokens = half;
    window.stop = {};
    const auto filled = sample_blocks(model, known, window);
    for (std::size_t k = 0; k < filled.size(); ++k) {
      BlockSample& text = texts[going_on[k]];
      append_window(filled[k], options.stop, text.prompt_tokens + options.max_new_tokens, text);
    }
  }
}

}  // namespace dlm
