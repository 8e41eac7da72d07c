#include "results/pareto.h"

#include <algorithm>
#include <numeric>

#include "harness/base/error.h"
#include "harness/base/random.h"

namespace dlm {

std::vector<std::size_t> pareto_front(std::span<const TradeOff> points) {
  std::vector<std::size_t> order(points.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](std::size_t i, std::size_t j) {
    return points[i].speed != points[j].speed ? points[i].speed > points[j].speed
                                              : points[i].quality > points[j].quality;
  });
  std::vector<std::size_t> front;
  for (const std::size_t i : order) {
    if (front.empty() || points[i].quality > points[front.back()].quality)
      front.push_back(i);
  }
  std::reverse(front.begin(), front.end());
  return front;
}

double area_under_front(std::span<const TradeOff> points, double quality_floor) {
  double area = 0;
  double slower = 0;
  for (const std::size_t i : pareto_front(points)) {
    const double height = std::max(0.0, points[i].quality - quality_floor);
    area += std::max(0.0, points[i].speed - slower) * height;
    slower = std::max(slower, points[i].speed);
  }
  return area;
}

Interval area_interval(std::span<const TradeOff> points, double quality_floor, std::int64_t draws,
                       std::uint64_t seed, double level) {
  if (points.empty() || draws < 1)
    throw ConfigError("area", fmt::format("{} points, {} draws", points.size(), draws),
                      "at least one of each");
  std::vector<double> areas;
  for (std::int64_t draw = 0; draw < draws; ++draw) {
    const RandomStream random(seed, Purpose::kBootstrap, static_cast<std::uint64_t>(draw));
    std::vector<TradeOff> drawn(points.begin(), points.end());
    for (std::size_t i = 0; i < drawn.size(); ++i) {
      drawn[i].speed += drawn[i].speed_error * random.normal(i, 0);
      drawn[i].quality += drawn[i].quality_error * random.normal(i, 1);
    }
    areas.push_back(area_under_front(drawn, quality_floor));
  }
  return {quantile(areas, 0.5 - 0.5 * level), quantile(areas, 0.5 + 0.5 * level)};
}

}  // namespace dlm
