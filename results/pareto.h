// The front of a trade-off between speed and quality, and the area under it.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "harness/base/stats.h"

namespace dlm {

// One system: more `speed` is better; so is more `quality` (negate where less is better).
struct TradeOff {
  double speed = 0, quality = 0;
  double speed_error = 0, quality_error = 0;  // standard errors
};

// Indices of the points that no other one equals or beats in both, by increasing speed; of equal
// points the first.
std::vector<std::size_t> pareto_front(std::span<const TradeOff> points);

// Area that the points dominate above the reference (0 speed, `quality_floor`): for each speed up
// to the greatest the best quality among points at least that fast, minus the floor, integrated.
// Points below the floor add nothing. Source: hypervolume indicator in two dimensions, Zitzler and
// Thiele, IEEE Trans. Evol. Comp. 3 (1999) 257.
double area_under_front(std::span<const TradeOff> points, double quality_floor);

// Percentile interval of the area: every coordinate is drawn anew from a normal with its standard
// error, `draws` times, from (seed, Purpose::kBootstrap). It is the spread of the area, and not
// free of the upward bias that a maximum of noisy values has. Throws ConfigError for draws < 1 or
// no points.
Interval area_interval(std::span<const TradeOff> points, double quality_floor, std::int64_t draws,
                       std::uint64_t seed, double level = 0.95);

}  // namespace dlm
