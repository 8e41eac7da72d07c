#include "models/sampling/nucleus_search.h"

#include <algorithm>
#include <bit>
#include <cstdint>
#include <cstring>
#include <vector>

namespace dlm {
namespace {

// Eight sums side by side four times: the same at any vector width, and no addition waits for the
// one before it.
constexpr std::size_t kLanes = 8;
constexpr std::size_t kSets = 4;
constexpr std::size_t kStride = kLanes * kSets;
constexpr double kFewSorted = 96;

using Doubles = double __attribute__((vector_size(kLanes * sizeof(double)), may_alias));
using Words = std::int64_t __attribute__((vector_size(kLanes * sizeof(double)), may_alias));

struct Above {
  double mass = 0;
  double count = 0;
};

// Of the weights that are at least `least`.
__attribute__((target_clones("avx512f", "avx2", "default"))) Above above(
    std::span<const double> weights, double least) {
  Doubles masses[kSets] = {};
  Words counts[kSets] = {};
  const std::size_t whole = weights.size() / kStride * kStride;
  for (std::size_t i = 0; i < whole; i += kStride) {
    for (std::size_t set = 0; set < kSets; ++set) {
      Doubles weight;
      std::memcpy(&weight, weights.data() + i + set * kLanes, sizeof weight);
      const Words is_above = weight >= least;
      masses[set] += is_above ? weight : Doubles{};
      counts[set] -= is_above;
    }
  }
  Above found;
  for (std::size_t set = 0; set < kSets; ++set) {
    for (std::size_t lane = 0; lane < kLanes; ++lane) {
      found.mass += masses[set][lane];
      found.count += static_cast<double>(counts[set][lane]);
    }
  }
  for (const double weight : weights.subspan(whole)) {
    found.mass += weight >= least ? weight : 0;
    found.count += weight >= least ? 1 : 0;
  }
  return found;
}

// The smallest of the weights that are at least `least`; 2 where there is none.
__attribute__((target_clones("avx512f", "avx2", "default"))) double smallest_above(
    std::span<const double> weights, double least) {
  const Doubles none = Doubles{} + 2;
  Doubles smallest = none;
  const std::size_t whole = weights.size() / kLanes * kLanes;
  for (std::size_t i = 0; i < whole; i += kLanes) {
    Doubles weight;
    std::memcpy(&weight, weights.data() + i, sizeof weight);
    weight = weight >= least ? weight : none;
    smallest = weight < smallest ? weight : smallest;
  }
  double found = 2;
  for (std::size_t lane = 0; lane < kLanes; ++lane) found = std::min(found, smallest[lane]);
  for (const double weight : weights.subspan(whole)) {
    if (weight >= least)
      found = std::min(found, weight);
  }
  return found;
}

// Positive doubles are ordered as their bits.
std::uint64_t bits_of(double weight) {
  return std::bit_cast<std::uint64_t>(weight);
}

double weight_of(std::uint64_t bits) {
  return std::bit_cast<double>(bits);
}

// Weights from `low` up to below `high`, by their bits: all above are in the nucleus, and with
// these it is full, where `full` says so.
struct Bracket {
  std::uint64_t low = 1;  // the smallest weight above 0
  std::uint64_t high = bits_of(1.0) + 1;
  Above with_low, above_high;

  double count() const { return with_low.count - above_high.count; }
};

Bracket bracket_end(std::span<const double> weights, double mass) {
  Bracket bracket;
  bracket.with_low = above(weights, weight_of(bracket.low));
  if (bracket.with_low.mass < mass)
    return bracket;
  // Most laws end within 32 octaves of their largest token.
  std::uint64_t middle = bits_of(0x1p-32);
  while (bracket.count() > kFewSorted && bracket.high - bracket.low > 1) {
    const Above here = above(weights, weight_of(middle));
    if (here.mass < mass) {
      bracket.high = middle;
      bracket.above_high = here;
    } else {
      bracket.low = middle;
      bracket.with_low = here;
    }
    middle = bracket.low + (bracket.high - bracket.low) / 2;
  }
  return bracket;
}

// Those of a bracket, in the order of their ranks.
std::vector<Ranked> members_of(std::span<const double> weights, const Bracket& bracket) {
  const std::uint64_t width = bracket.high - bracket.low;
  std::vector<Ranked> members;
  members.reserve(static_cast<std::size_t>(bracket.count()));
  for (std::size_t i = 0; i < weights.size(); ++i) {
    if (bits_of(weights[i]) - bracket.low < width)  // what is smaller wraps around
      members.push_back({weights[i], i});
  }
  if (width > 1)  // else all are equal, and in order
    std::sort(members.begin(), members.end(), ranks_before);
  return members;
}

// The last in rank of the weights that are at least `least`.
Ranked last_above(std::span<const double> weights, double least) {
  const double smallest = smallest_above(weights, least);
  std::size_t i = weights.size() - 1;
  while (weights[i] != smallest) --i;
  return {smallest, i};
}

}  // namespace

NucleusEnd find_nucleus_end(std::span<const double> weights, const Admission& admission) {
  const Bracket bracket = bracket_end(weights, admission.mass);
  NucleusEnd end;
  double mass = bracket.above_high.mass;
  bool any = bracket.above_high.count > 0;
  if (any) {
    end.last = last_above(weights, weight_of(bracket.high));
    end.margin = admission.distance(mass - end.last.weight, mass);
  }
  for (const Ranked& next : members_of(weights, bracket)) {
    const double with = mass + next.weight;
    if (any && !admission.admits(mass, with)) {
      end.margin =
          std::min({end.margin, admission.distance(mass, with), end.last.weight - next.weight});
      return end;
    }
    end = {next, any ? admission.distance(mass, with) : std::numeric_limits<double>::infinity()};
    any = true;
    mass = with;
  }
  return end;
}

double kept_mass(std::span<const double> weights, const KeptWeights& kept) {
  const std::size_t ties = std::min(kept.ties, weights.size());
  return above(weights.first(ties), kept.least).mass +
         above(weights.subspan(ties), weight_of(bits_of(kept.least) + 1)).mass;
}

}  // namespace dlm
