// When a text ends before its length is reached. Torch-free.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

namespace dlm {

// Unigram entropy of `ids` in nats: - sum f ln f over the shares f of the distinct ids; 0 for none.
// Source: Dieleman et al., "Continuous diffusion for categorical data", 2022; agrees with
// kuleshov-group/bd3lms metrics.py.
double unigram_entropy(std::span<const std::int64_t> ids);

// Ends a text by what it says (its stop strings, say). Asked from many threads at once.
class TextStop {
 public:
  virtual ~TextStop() = default;

  // `fresh`: the new tokens so far.
  virtual bool is_over(std::span<const std::int64_t> fresh) const = 0;
};

struct StopRules {
  std::vector<std::int64_t> stop_ids = {};  // the text ends with the first of these that is written
  // The text ends where its last 256 tokens, all behind the prompt, have a unigram entropy below
  // this many nats, and drops them; 0 = off. Source: bd3lms diffusion.py _check_stop_conds (4.0).
  double entropy_floor = 0;
  const TextStop* text = nullptr;  // asked last; all that is written so far stays
};

inline constexpr std::int64_t kEntropyWindow = 256;

enum class Stop { kStopId, kEntropy, kText };

struct StopPoint {
  Stop reason = Stop::kStopId;
  std::int64_t length = 0;  // tokens of the text that stay
};

// Looks at a text whose positions from `checked` on are new since the last look. Positions below
// `prompt` are given, and end nothing. Where both rules apply the entropy rule is asked first, as
// published. Published code looks only once a text is longer than 256 tokens; a stop id before that
// ends the text here at once, at the same token.
std::optional<StopPoint> find_stop(std::span<const std::int64_t> ids, std::int64_t prompt,
                                   std::int64_t checked, const StopRules& rules);

}  // namespace dlm
