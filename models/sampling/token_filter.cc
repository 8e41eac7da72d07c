#include "models/sampling/token_filter.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <functional>
#include <limits>
#include <numeric>
#include <optional>

#include "harness/base/error.h"

namespace dlm {
namespace {

constexpr std::ptrdiff_t kFirstChunk = 64;

struct Candidate {
  double probability;
  std::size_t index;
};

bool before(const Candidate& a, const Candidate& b) {
  return a.probability > b.probability || (a.probability == b.probability && a.index < b.index);
}

// Whether the running sum is past the nucleus once a token has been added to `mass` before it.
struct Nucleus {
  double p;
  NucleusRule rule;

  bool admits(double mass_before, double mass_with) const {
    return rule == NucleusRule::kKeep ? mass_before < p : mass_with <= p;
  }
};

// Moves the nucleus to the front of `tokens` and returns its size, or nothing where every one of
// them was admitted (then there may be more among tokens left out). Sorts chunk by chunk, so that
// no more than about twice the nucleus is ever sorted.
std::optional<std::size_t> gather_nucleus(std::vector<Candidate>& tokens, const Nucleus& nucleus) {
  double mass = 0;
  std::ptrdiff_t chunk = kFirstChunk;
  for (auto begin = tokens.begin(); begin != tokens.end(); chunk *= 2) {
    const auto end = begin + std::min(chunk, tokens.end() - begin);
    if (end != tokens.end())
      std::nth_element(begin, end, tokens.end(), before);
    std::sort(begin, end, before);
    for (; begin != end; ++begin) {
      const double mass_with = mass + begin->probability;
      if (!nucleus.admits(mass, mass_with))
        return static_cast<std::size_t>(begin - tokens.begin());
      mass = mass_with;
    }
  }
  return std::nullopt;
}

std::vector<Candidate> candidates_from(std::span<const double> probabilities, double floor) {
  std::vector<Candidate> candidates;
  for (std::size_t i = 0; i < probabilities.size(); ++i) {
    if (probabilities[i] >= floor)
      candidates.push_back({probabilities[i], i});
  }
  return candidates;
}

void normalise(std::span<double> weights) {
  const double total = std::reduce(weights.begin(), weights.end());
  DLM_CHECK(total > 0 && std::isfinite(total), "weights of a law sum to {}", total);
  for (double& w : weights) w /= total;
}

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

std::string_view nucleus_rule_name(NucleusRule rule) {
  return rule == NucleusRule::kKeep ? "keep" : "drop";
}

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

void keep_top_k(std::span<float> logits, std::int64_t k) {
  DLM_CHECK(k >= 1, "top-k with k = {}", k);
  if (k >= std::ssize(logits))
    return;
  std::vector<float> largest(static_cast<std::size_t>(k));
  std::partial_sort_copy(logits.begin(), logits.end(), largest.begin(), largest.end(),
                         std::greater<>());
  const float cut = largest.back();
  // Of the logits equal to the cut, those of lowest index fill the places that larger ones leave.
  auto ties = std::count(largest.begin(), largest.end(), cut);
  for (float& logit : logits) {
    if (logit > cut || (logit == cut && ties-- > 0))
      continue;
    logit = -std::numeric_limits<float>::infinity();
  }
}

void keep_nucleus(std::span<double> probabilities, double nucleus_p, NucleusRule rule) {
  DLM_CHECK(nucleus_p > 0 && nucleus_p <= 1, "nucleus_p = {}", nucleus_p);
  if (nucleus_p == 1)
    return;
  // Tokens below (1 - p) / V have less than 1 - p among them, so the sum crosses p before the first
  // of them; only where rounding lets it not do so are all of them sorted.
  const double floor = (1 - nucleus_p) / static_cast<double>(probabilities.size());
  auto candidates = candidates_from(probabilities, floor);
  auto size = gather_nucleus(candidates, {nucleus_p, rule});
  if (!size) {
    candidates = candidates_from(probabilities, 0);
    size = gather_nucleus(candidates, {nucleus_p, rule}).value_or(candidates.size());
  }
  candidates.resize(std::max<std::size_t>(1, *size), Candidate{});
  std::fill(probabilities.begin(), probabilities.end(), 0.0);
  for (const Candidate& kept : candidates) probabilities[kept.index] = kept.probability;
  normalise(probabilities);
}

std::vector<double> token_probabilities(std::span<const float> logits, const TokenFilter& filter) {
  const auto top = static_cast<std::size_t>(argmax_token(logits));
  std::vector<double> law(logits.size(), 0.0);
  if (filter.temperature == 0) {
    law[top] = 1;
    return law;
  }
  std::vector<float> kept;
  const bool cuts = filter.top_k > 0 && filter.top_k < std::ssize(logits);
  if (cuts && filter.order == FilterOrder::kTopKFirst) {
    kept.assign(logits.begin(), logits.end());
    keep_top_k(kept, filter.top_k);
    logits = kept;
  }
  const double largest = logits[top];
  for (std::size_t i = 0; i < logits.size(); ++i) {
    if (!std::isinf(logits[i]))
      law[i] = std::exp((logits[i] - largest) / filter.temperature);
  }
  normalise(law);
  keep_nucleus(law, filter.nucleus_p, filter.nucleus_rule);
  if (cuts && filter.order == FilterOrder::kNucleusFirst) {
    kept.assign(logits.begin(), logits.end());
    keep_top_k(kept, filter.top_k);
    for (std::size_t i = 0; i < law.size(); ++i) {
      if (std::isinf(kept[i]))
        law[i] = 0;
    }
    normalise(law);
  }
  return law;
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
