// The law that a filter makes of logits, written down for every token by full sorts, as the
// references have it: what the laws that samplers draw from are held against.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <numeric>
#include <span>
#include <utility>
#include <vector>

#include "models/sampling/token_law.h"

namespace dlm::testing {

// Token ids by value, the largest first; equal ones by id.
template <class Value>
std::vector<std::size_t> ranking(std::span<const Value> values) {
  std::vector<std::size_t> order(values.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](std::size_t a, std::size_t b) { return values[a] > values[b]; });
  return order;
}

inline void normalise(std::vector<double>& law) {
  const double total = std::accumulate(law.begin(), law.end(), 0.0);
  for (double& p : law) p /= total;
}

// Sets what is not in the nucleus to 0; not renormalised.
inline void keep_plain_nucleus(std::vector<double>& law, double p, NucleusRule rule) {
  std::vector<double> kept(law.size(), 0.0);
  double mass = 0;
  for (const std::size_t token : ranking(std::span<const double>(law))) {
    const double with = mass + law[token];
    if (mass > 0 && (rule == NucleusRule::kKeep ? mass >= p : with > p))
      break;
    kept[token] = law[token];
    mass = with;
  }
  law = std::move(kept);
}

// Sets what is not among the k largest logits to 0; not renormalised.
inline void keep_plain_top_k(std::vector<double>& law, std::span<const float> logits,
                             std::int64_t k) {
  const auto order = ranking(logits);
  for (std::size_t rank = static_cast<std::size_t>(k); rank < order.size(); ++rank)
    law[order[rank]] = 0;
}

// V probabilities that sum to 1. temperature > 0; one logit at least is finite.
inline std::vector<double> plain_law(std::span<const float> logits, const TokenFilter& filter) {
  const double largest = *std::max_element(logits.begin(), logits.end());
  std::vector<double> law;
  for (const float logit : logits) law.push_back(std::exp((logit - largest) / filter.temperature));
  const bool cuts = filter.top_k > 0;
  if (cuts && filter.order == FilterOrder::kTopKFirst)
    keep_plain_top_k(law, logits, filter.top_k);
  normalise(law);
  if (filter.nucleus_p < 1)
    keep_plain_nucleus(law, filter.nucleus_p, filter.nucleus_rule);
  if (cuts && filter.order == FilterOrder::kNucleusFirst)
    keep_plain_top_k(law, logits, filter.top_k);
  normalise(law);
  return law;
}

// A law of kept tokens as V probabilities.
inline std::vector<double> dense(const TokenLaw& law, std::size_t V) {
  std::vector<double> all(V, 0.0);
  for (std::size_t i = 0; i < law.tokens.size(); ++i)
    all.at(static_cast<std::size_t>(law.tokens[i])) = law.probabilities[i];
  return all;
}

}  // namespace dlm::testing
