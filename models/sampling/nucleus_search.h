// Where a nucleus ends, among weights of a whole vocabulary: by sums of what is larger than a
// threshold, each one pass in vector instructions, until few tokens are left to sort. Torch-free.
#pragma once

#include <cmath>
#include <cstddef>
#include <limits>
#include <span>

#include "models/sampling/token_filter.h"

namespace dlm {

struct Ranked {
  double weight = 0;
  std::size_t index = 0;
};

// By weight, the largest first; equal ones by index, the lowest first.
inline bool ranks_before(const Ranked& a, const Ranked& b) {
  return a.weight > b.weight || (a.weight == b.weight && a.index < b.index);
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

// The nucleus's last token, and how near it was to ending elsewhere, in units of the weights.
struct NucleusEnd {
  Ranked last;
  double margin = std::numeric_limits<double>::infinity();
};

// Weights in [0, 1], one of them 1. The first of all ranks is in the nucleus whatever its mass.
NucleusEnd find_nucleus_end(std::span<const double> weights, const Admission& admission);

// What ranks no later than a token: weights of at least `least`, of equal ones the first `ties`
// places.
struct KeptWeights {
  double least = 0;
  std::size_t ties = 0;

  static KeptWeights through(const Ranked& last) { return {last.weight, last.index + 1}; }

  bool keeps(double weight, std::size_t index) const {
    return weight > 0 && (weight > least || (weight == least && index < ties));
  }

  // As seen from `offset` on.
  KeptWeights from(std::size_t offset) const { return {least, ties > offset ? ties - offset : 0}; }
};

// Sum of the kept ones: the same at any vector width.
double kept_mass(std::span<const double> weights, const KeptWeights& kept);

}  // namespace dlm
