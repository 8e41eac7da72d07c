#include "models/sampling/token_filter.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <limits>
#include <numeric>

#include "harness/base/error.h"

namespace dlm {
namespace {

// The largest logit, +inf where one is NaN or +inf.
__attribute__((target_clones("avx512f", "avx2", "default"))) float largest_of(
    std::span<const float> logits) {
  constexpr std::size_t kLanes = 16;
  using Floats = float __attribute__((vector_size(kLanes * sizeof(float))));
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  Floats largest = Floats{} - kInfinity;
  for (std::size_t i = 0; i < logits.size(); i += kLanes) {
    const std::size_t count = std::min(kLanes, logits.size() - i);
    Floats here = Floats{} - kInfinity;
    if (count == kLanes)
      std::memcpy(&here, logits.data() + i, sizeof here);
    else
      std::memcpy(&here, logits.data() + i, count * sizeof(float));
    here = here == here ? here : Floats{} + kInfinity;
    largest = here > largest ? here : largest;
  }
  float found = -kInfinity;
  for (std::size_t lane = 0; lane < kLanes; ++lane) found = std::max(found, largest[lane]);
  return found;
}

[[noreturn]] void refuse_logits(std::span<const float> logits) {
  for (std::size_t i = 0; i < logits.size(); ++i) {
    if (std::isnan(logits[i]) || logits[i] == std::numeric_limits<float>::infinity())
      throw InternalError(fmt::format("the logit of token {} is {}", i, logits[i]));
  }
  throw InternalError("every logit is -inf");
}

}  // namespace

NucleusRule parse_nucleus_rule(std::string_view name) {
  if (name == "keep")
    return NucleusRule::kKeep;
  if (name == "drop")
    return NucleusRule::kDrop;
  throw unknown_name("nucleus", name, std::array<std::string, 2>{"keep", "drop"});
}

void check_token_filter(const TokenFilter& filter) {
  if (!(filter.temperature >= 0) || std::isinf(filter.temperature))
    throw ConfigError("temperature", fmt::to_string(filter.temperature), "a finite number >= 0");
  if (filter.top_k < 0)
    throw ConfigError("top_k", fmt::to_string(filter.top_k), "an integer >= 0 (0 = off)");
  if (!(filter.nucleus_p > 0 && filter.nucleus_p <= 1))
    throw ConfigError("nucleus_p", fmt::to_string(filter.nucleus_p), "a number in (0, 1]");
}

std::int64_t argmax_token(std::span<const float> logits) {
  DLM_CHECK(!logits.empty(), "no logits");
  const float largest = largest_of(logits);
  if (!std::isfinite(largest))
    refuse_logits(logits);
  return std::find(logits.begin(), logits.end(), largest) - logits.begin();
}

std::int64_t draw_token(std::span<const double> probabilities, double uniform) {
  DLM_CHECK(uniform >= 0 && uniform < 1, "uniform = {}", uniform);
  const double target = uniform * std::accumulate(probabilities.begin(), probabilities.end(), 0.0);
  double cumulative = 0;
  for (std::size_t i = 0; i < probabilities.size(); ++i) {
    cumulative += probabilities[i];
    if (cumulative > target)
      return static_cast<std::int64_t>(i);
  }
  throw InternalError(fmt::format("no token to draw: {} probabilities sum to {}",
                                  probabilities.size(), cumulative));
}

}  // namespace dlm
