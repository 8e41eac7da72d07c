#include "models/sampling/token_law.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <utility>

#include "harness/base/error.h"
#include "models/sampling/exp_weights.h"
#include "models/sampling/nucleus_search.h"

namespace dlm {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

// Candidate tokens, ascending, with weights relative to the largest, which is 1.
struct Candidates {
  std::span<const double> weights;
  std::span<const std::int64_t> tokens;  // empty: candidate i is token i
  double total = 0;
  double margin = kInfinity;

  std::int64_t token(std::size_t i) const {
    return tokens.empty() ? static_cast<std::int64_t>(i) : tokens[i];
  }
};

// The candidates that do not rank behind `last`, as a law.
TokenLaw kept_through(const Candidates& law, const Ranked& last, std::int64_t best) {
  TokenLaw kept;
  kept.best = best;
  double total = 0;
  const KeptWeights keep = KeptWeights::through(last);
  for (std::size_t i = 0; i < law.weights.size(); ++i) {
    const double weight = law.weights[i];
    if (!keep.keeps(weight, i))
      continue;
    kept.tokens.push_back(law.token(i));
    kept.probabilities.push_back(weight);
    total += weight;
  }
  DLM_CHECK(total > 0 && std::isfinite(total), "weights of a law sum to {}", total);
  for (double& weight : kept.probabilities) weight /= total;
  return kept;
}

TokenLaw cut_nucleus(const Candidates& law, const TokenFilter& filter, std::int64_t best) {
  if (filter.nucleus_p == 1) {
    TokenLaw all = kept_through(law, {0, law.weights.size()}, best);
    all.margin = law.margin;
    return all;
  }
  const NucleusEnd end =
      find_nucleus_end(law.weights, {filter.nucleus_p * law.total, filter.nucleus_rule});
  TokenLaw kept = kept_through(law, end.last, best);
  kept.margin = std::min(law.margin, end.margin / law.total);
  return kept;
}

// The k most probable tokens of a law, renormalised.
TokenLaw cut_top_k(TokenLaw law, std::int64_t k) {
  if (k >= std::ssize(law.tokens))
    return law;
  std::vector<Ranked> ranked(law.tokens.size());
  for (std::size_t i = 0; i < ranked.size(); ++i) ranked[i] = {law.probabilities[i], i};
  std::partial_sort(ranked.begin(), ranked.begin() + k + 1, ranked.end(), ranks_before);
  const Ranked last = ranked[static_cast<std::size_t>(k) - 1];
  const double next = ranked[static_cast<std::size_t>(k)].weight;
  TokenLaw kept = kept_through({law.probabilities, law.tokens, 1, law.margin}, last, law.best);
  kept.margin = std::min(law.margin, last.weight - next);
  return kept;
}

TokenLaw filter_weights(const Candidates& law, const TokenFilter& filter, std::int64_t best) {
  if (filter.top_k == 0 || filter.top_k >= std::ssize(law.weights))
    return cut_nucleus(law, filter, best);
  if (filter.order == FilterOrder::kNucleusFirst)
    return cut_top_k(cut_nucleus(law, filter, best), filter.top_k);
  std::vector<Ranked> ranked(law.weights.size());
  for (std::size_t i = 0; i < ranked.size(); ++i) ranked[i] = {law.weights[i], i};
  const auto end = ranked.begin() + filter.top_k;
  std::nth_element(ranked.begin(), end - 1, ranked.end(), ranks_before);
  const Ranked last = *(end - 1);
  const Ranked next = *std::min_element(end, ranked.end(), ranks_before);
  const TokenLaw top = kept_through(law, last, best);
  Candidates largest{top.probabilities, top.tokens, 1, (last.weight - next.weight) / law.total};
  // Weights relative to the largest, as the search needs them.
  std::vector<double> weights = top.probabilities;
  const double most = *std::max_element(weights.begin(), weights.end());
  for (double& weight : weights) weight /= most;
  largest.weights = weights;
  largest.total = std::accumulate(weights.begin(), weights.end(), 0.0);
  return cut_nucleus(largest, filter, best);
}

// One thread's weights of a vocabulary, kept: memory of this size is not cheap to ask for.
std::span<double> scratch_weights(std::size_t count) {
  thread_local std::vector<double> weights;
  if (weights.size() < count)
    weights.resize(count);
  return std::span(weights).first(count);
}

// A draw by inverse CDF from what a filter kept of a vocabulary, which is not written down: sums of
// whole stretches lead to the one the token is in.
class KeptDraw {
 public:
  KeptDraw(std::span<const double> weights, const KeptWeights& kept)
      : weights_(weights), kept_(kept) {
    for (std::size_t i = 0; i < weights.size(); i += kStretch) {
      masses_.push_back(
          kept_mass(weights.subspan(i, std::min(kStretch, weights.size() - i)), kept.from(i)));
      total_ += masses_.back();
    }
    DLM_CHECK(total_ > 0 && std::isfinite(total_), "weights of a law sum to {}", total_);
  }

  DrawnToken at(double uniform) const {
    const double target = uniform * total_;
    std::size_t stretch = 0;
    double before = 0;
    while (stretch + 1 < masses_.size() && before + masses_[stretch] <= target)
      before += masses_[stretch++];
    std::size_t i = next_kept(stretch * kStretch);
    if (i == weights_.size()) {  // rounding led behind the last one
      i = last_kept();
      before = total_ - weights_[i];
    }
    for (std::size_t next = next_kept(i + 1);
         before + weights_[i] <= target && next < weights_.size(); next = next_kept(i + 1)) {
      before += weights_[i];
      i = next;
    }
    double margin = kInfinity;
    if (before > 0)
      margin = std::max(0.0, target - before) / total_;
    if (next_kept(i + 1) < weights_.size())
      margin = std::min(margin, (before + weights_[i] - target) / total_);
    return {static_cast<std::int64_t>(i), margin};
  }

 private:
  static constexpr std::size_t kStretch = 1024;

  // weights_.size() where there is none.
  std::size_t next_kept(std::size_t from) const {
    while (from < weights_.size() && !kept_.keeps(weights_[from], from)) ++from;
    return from;
  }

  std::size_t last_kept() const {
    std::size_t i = weights_.size() - 1;
    while (!kept_.keeps(weights_[i], i)) --i;
    return i;
  }

  std::span<const double> weights_;
  KeptWeights kept_;
  std::vector<double> masses_;
  double total_ = 0;
};

}  // namespace

TokenLaw token_law(std::span<const float> logits, const TokenFilter& filter) {
  DLM_CHECK(filter.temperature > 0, "a law at temperature {}", filter.temperature);
  const std::int64_t best = argmax_token(logits);
  const std::span<double> weights = scratch_weights(logits.size());
  Candidates law{weights, {}, 0, kInfinity};
  law.total =
      exp_weights(logits, logits[static_cast<std::size_t>(best)], filter.temperature, weights);
  return filter_weights(law, filter, best);
}

TokenLaw filtered_law(std::span<const double> probabilities, const TokenFilter& filter) {
  const auto largest = std::max_element(probabilities.begin(), probabilities.end());
  DLM_CHECK(largest != probabilities.end() && *largest > 0, "a law without mass");
  const std::int64_t best = largest - probabilities.begin();
  if (filter.temperature == 0)
    return {{best}, {1.0}, best, kInfinity};
  const std::span<double> weights = scratch_weights(probabilities.size());
  Candidates law{weights, {}, 0, kInfinity};
  for (std::size_t i = 0; i < probabilities.size(); ++i) {
    const double ratio = probabilities[i] / *largest;
    weights[i] = filter.temperature == 1 ? ratio : std::pow(ratio, 1 / filter.temperature);
    law.total += weights[i];
  }
  return filter_weights(law, filter, best);
}

DrawnToken draw_from_logits(std::span<const float> logits, const TokenFilter& filter,
                            double uniform) {
  const bool top_k = filter.top_k > 0 && filter.top_k < std::ssize(logits);
  if (top_k)
    return draw_from(token_law(logits, filter), uniform);
  DLM_CHECK(filter.temperature > 0 && uniform >= 0 && uniform < 1, "a draw at temperature {} by {}",
            filter.temperature, uniform);
  const std::span<double> weights = scratch_weights(logits.size());
  const double largest = logits[static_cast<std::size_t>(argmax_token(logits))];
  const double total = exp_weights(logits, largest, filter.temperature, weights);
  NucleusEnd end{{0, weights.size()}, kInfinity};
  if (filter.nucleus_p < 1)
    end = find_nucleus_end(weights, {filter.nucleus_p * total, filter.nucleus_rule});
  DrawnToken drawn = KeptDraw(weights, KeptWeights::through(end.last)).at(uniform);
  drawn.margin = std::min(drawn.margin, end.margin / total);
  return drawn;
}

DrawnToken draw_from(const TokenLaw& law, double uniform) {
  DLM_CHECK(uniform >= 0 && uniform < 1 && !law.tokens.empty(), "uniform = {}, {} tokens", uniform,
            law.tokens.size());
  const double target =
      uniform * std::accumulate(law.probabilities.begin(), law.probabilities.end(), 0.0);
  double before = 0;
  std::size_t i = 0;
  for (; i + 1 < law.tokens.size(); ++i) {
    const double with = before + law.probabilities[i];
    if (with > target)
      break;
    before = with;
  }
  double margin = law.margin;
  if (i > 0)
    margin = std::min(margin, target - before);
  if (i + 1 < law.tokens.size())
    margin = std::min(margin, before + law.probabilities[i] - target);
  return {law.tokens[i], margin};
}

TopTwo top_two(const TokenLaw& law) {
  TopTwo top;
  for (const double p : law.probabilities) {
    if (p > top.first)
      top = {p, top.first};
    else
      top.second = std::max(top.second, p);
  }
  return top;
}

double negative_entropy(const TokenLaw& law) {
  double sum = 0;
  for (const double p : law.probabilities) sum += p * std::log(p);
  return sum;
}

}  // namespace dlm
