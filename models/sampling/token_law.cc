#include "models/sampling/token_law.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <numeric>
#include <utility>

#include "harness/base/error.h"

namespace dlm {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

// Candidate tokens, ascending, with weights relative to the largest, which is 1.
struct Weighted {
  std::vector<std::int64_t> tokens;
  std::vector<double> weights;
  double total = 0;
  double margin = kInfinity;
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
  NucleusSearch(const Weighted& law, const Admission& admission)
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

  const Weighted& law_;
  Admission admission_;
  double mass_ = 0;   // of the tokens admitted so far
  bool any_ = false;  // some have been
  NucleusEnd end_;
};

// Keeps the candidates that do not rank behind `last`.
void keep_through(Weighted& law, const Ranked& last) {
  std::size_t kept = 0;
  law.total = 0;
  for (std::size_t i = 0; i < law.weights.size(); ++i) {
    if (law.weights[i] <= 0 || ranks_before(last, {law.weights[i], i}))
      continue;
    law.tokens[kept] = law.tokens[i];
    law.weights[kept++] = law.weights[i];
    law.total += law.weights[kept - 1];
  }
  law.tokens.resize(kept);
  law.weights.resize(kept);
}

void keep_largest(Weighted& law, std::int64_t k) {
  if (k == 0 || k >= std::ssize(law.weights))
    return;
  std::vector<Ranked> ranked(law.weights.size());
  for (std::size_t i = 0; i < ranked.size(); ++i) ranked[i] = {law.weights[i], i};
  const auto end = ranked.begin() + k;
  std::nth_element(ranked.begin(), end - 1, ranked.end(), ranks_before);
  const Ranked last = *(end - 1);
  const Ranked next = *std::min_element(end, ranked.end(), ranks_before);
  law.margin = (last.weight - next.weight) / law.total;
  keep_through(law, last);
}

TokenLaw finished(Weighted law, const TokenFilter& filter, std::int64_t best) {
  keep_largest(law, filter.top_k);
  if (filter.nucleus_p < 1) {
    const NucleusEnd end =
        NucleusSearch(law, {filter.nucleus_p * law.total, filter.nucleus_rule}).find();
    law.margin = std::min(law.margin, end.margin / law.total);
    keep_through(law, end.last);
  } else {
    keep_through(law, {0, 0});
  }
  DLM_CHECK(law.total > 0 && std::isfinite(law.total), "weights of a law sum to {}", law.total);
  for (double& weight : law.weights) weight /= law.total;
  return {std::move(law.tokens), std::move(law.weights), best, law.margin};
}

Weighted all_tokens(std::size_t count) {
  Weighted law;
  law.tokens.resize(count);
  std::iota(law.tokens.begin(), law.tokens.end(), std::int64_t{0});
  law.weights.resize(count);
  return law;
}

}  // namespace

TokenLaw token_law(std::span<const float> logits, const TokenFilter& filter) {
  DLM_CHECK(filter.temperature > 0, "a law at temperature {}", filter.temperature);
  const std::int64_t best = argmax_token(logits);
  const double largest = logits[static_cast<std::size_t>(best)];
  Weighted law = all_tokens(logits.size());
  for (std::size_t i = 0; i < logits.size(); ++i) {
    law.weights[i] = std::exp((logits[i] - largest) / filter.temperature);
    law.total += law.weights[i];
  }
  return finished(std::move(law), filter, best);
}

TokenLaw filtered_law(std::span<const double> probabilities, const TokenFilter& filter) {
  const auto largest = std::max_element(probabilities.begin(), probabilities.end());
  DLM_CHECK(largest != probabilities.end() && *largest > 0, "a law without mass");
  const std::int64_t best = largest - probabilities.begin();
  if (filter.temperature == 0)
    return {{best}, {1.0}, best, kInfinity};
  Weighted law = all_tokens(probabilities.size());
  for (std::size_t i = 0; i < probabilities.size(); ++i) {
    const double ratio = probabilities[i] / *largest;
    law.weights[i] = filter.temperature == 1 ? ratio : std::pow(ratio, 1 / filter.temperature);
    law.total += law.weights[i];
  }
  return finished(std::move(law), filter, best);
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
