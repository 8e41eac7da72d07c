#include "models/sampling/token_law.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <numeric>
#include <utility>

#include "harness/base/error.h"
#include "models/sampling/exp_weights.h"

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

struct Ranked {
  double weight = 0;
  std::size_t index = 0;
};

bool ranks_before(const Ranked& a, const Ranked& b) {
  return a.weight > b.weight || (a.weight == b.weight && a.index < b.index);
}

// Weights in (0, 1] by size: 64 bins an octave, the largest first. What is smaller than the last
// bin holds is in it too.
constexpr std::size_t kBins = 4096;
constexpr int kBinShift = 46;
constexpr std::size_t kSortedWhole = 256;  // so few candidates are sorted without bins

std::size_t bin_of(double weight) {
  const auto below_one = std::bit_cast<std::uint64_t>(1.0) - std::bit_cast<std::uint64_t>(weight);
  return std::min<std::size_t>(below_one >> kBinShift, kBins - 1);
}

// Whether a token is in the nucleus, by the mass of what ranks before it and with itself.
struct Admission {
  double mass;  // p times the total
  NucleusRule rule;

  bool admits(double before, double with) const {
    return rule == NucleusRule::kKeep ? before < mass : with <= mass;
  }

  double distance(double before, double with) const {
    return std::abs((rule == NucleusRule::kKeep ? before : with) - mass);
  }
};

// Where the nucleus ends: its last token, and how near it was to ending elsewhere.
struct NucleusEnd {
  Ranked last;
  double margin = kInfinity;
};

class NucleusSearch {
 public:
  NucleusSearch(const Candidates& law, const Admission& admission)
      : law_(law), admission_(admission) {}

  NucleusEnd find() {
    if (law_.weights.size() <= kSortedWhole) {
      ends_in([](double) { return true; });
      return end_;
    }
    // Whole bins are admitted by their mass; only those around the end are sorted.
    std::vector<double> mass(kBins, 0.0);
    for (const double weight : law_.weights) {
      if (weight > 0)
        mass[bin_of(weight)] += weight;
    }
    std::size_t bin = 0;
    while (bin + 1 < kBins && mass_ + mass[bin] < admission_.mass) mass_ += mass[bin++];
    admit_below(bin);
    for (; bin < kBins; ++bin) {
      if (mass[bin] > 0 && ends_in([bin](double weight) { return bin_of(weight) == bin; }))
        break;
    }
    return end_;
  }

 private:
  void admit_below(std::size_t bin) {
    for (std::size_t i = 0; i < law_.weights.size(); ++i) {
      const Ranked token{law_.weights[i], i};
      if (token.weight > 0 && bin_of(token.weight) < bin &&
          (!any_ || ranks_before(end_.last, token))) {
        end_.last = token;
        any_ = true;
      }
    }
    if (any_)
      end_.margin = admission_.distance(mass_ - end_.last.weight, mass_);
  }

  // Admits tokens whose weight `belongs`, the largest first, until one is not; false where all are.
  template <class Belongs>
  bool ends_in(Belongs belongs) {
    std::vector<Ranked> members;
    for (std::size_t i = 0; i < law_.weights.size(); ++i) {
      if (law_.weights[i] > 0 && belongs(law_.weights[i]))
        members.push_back({law_.weights[i], i});
    }
    std::sort(members.begin(), members.end(), ranks_before);
    for (const Ranked& next : members) {
      const double with = mass_ + next.weight;
      // The first of all stays whatever its mass.
      if (any_ && !admission_.admits(mass_, with)) {
        end_.margin = std::min(
            {end_.margin, admission_.distance(mass_, with), end_.last.weight - next.weight});
        return true;
      }
      end_ = {next, any_ ? admission_.distance(mass_, with) : kInfinity};
      any_ = true;
      mass_ = with;
    }
    return false;
  }

  const Candidates& law_;
  Admission admission_;
  double mass_ = 0;   // of the tokens admitted so far
  bool any_ = false;  // some have been
  NucleusEnd end_;
};

// The candidates that do not rank behind `last`, as a law.
TokenLaw kept_through(const Candidates& law, const Ranked& last, std::int64_t best) {
  TokenLaw kept;
  kept.best = best;
  double total = 0;
  for (std::size_t i = 0; i < law.weights.size(); ++i) {
    const double weight = law.weights[i];
    if (weight < last.weight || weight <= 0 || (weight == last.weight && i > last.index))
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
      NucleusSearch(law, {filter.nucleus_p * law.total, filter.nucleus_rule}).find();
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

DrawnToken best_of(const TokenLaw& law) {
  const TopTwo top = top_two(law);
  return {law.best, top.first - top.second};
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
