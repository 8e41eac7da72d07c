#include "models/diffusion/noise_schedule.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <numbers>
#include <utility>

#include "harness/base/error.h"

namespace dlm {
namespace {

constexpr double kEpsilon = 1e-3;

constexpr std::array<std::pair<const char*, NoiseSchedule>, 6> kSchedules{
    {{"linear", NoiseSchedule::kLinear},
     {"square", NoiseSchedule::kSquare},
     {"square_root", NoiseSchedule::kSquareRoot},
     {"log", NoiseSchedule::kLog},
     {"cosine", NoiseSchedule::kCosine},
     {"mdlm", NoiseSchedule::kMdlm}}};

NoiseLevel power_level(double t, double exponent) {
  const double p = std::max(std::pow(t, exponent), kEpsilon);
  return {p, exponent * std::pow(t, exponent - 1) / p};
}

NoiseLevel cosine_level(double t) {
  const double angle = t * std::numbers::pi / 2;
  const double p = 1 - (1 - kEpsilon) * std::cos(angle);
  return {p, (1 - kEpsilon) * std::sin(angle) * std::numbers::pi / 2 / (p + kEpsilon)};
}

// An antiderivative of w(t) p(t): the weights are p' / p, whose product with p is p', but where p
// is clamped (the product is that of the power all the same) and for cosine, p' p / (p + eps).
double weight_up_to(NoiseSchedule schedule, double t) {
  switch (schedule) {
    case NoiseSchedule::kLinear:
      break;
    case NoiseSchedule::kSquare:
      return t * t;
    case NoiseSchedule::kSquareRoot:
      return std::sqrt(t);
    case NoiseSchedule::kLog:
      return std::log1p(t) / std::numbers::ln2;
    case NoiseSchedule::kCosine: {
      const double p = cosine_level(t).mask_probability;
      return p - kEpsilon * std::log(p + kEpsilon);
    }
    case NoiseSchedule::kMdlm:
      return (1 - kEpsilon) * t;
  }
  return t;
}

}  // namespace

NoiseLevel noise_level(NoiseSchedule schedule, double t) {
  switch (schedule) {
    case NoiseSchedule::kLinear:
      break;
    case NoiseSchedule::kSquare:
      return power_level(t, 2);
    case NoiseSchedule::kSquareRoot:
      return power_level(t, 0.5);
    case NoiseSchedule::kLog:
      return {std::log1p(t) / std::numbers::ln2, 1 / (std::log1p(t) * (1 + t))};
    case NoiseSchedule::kCosine:
      return cosine_level(t);
    case NoiseSchedule::kMdlm:
      return {(1 - kEpsilon) * t, 1 / t};
  }
  return {t, 1 / t};
}

double mean_token_weight(NoiseSchedule schedule, double t_min, double t_max) {
  if (t_max > t_min)
    return (weight_up_to(schedule, t_max) - weight_up_to(schedule, t_min)) / (t_max - t_min);
  const NoiseLevel level = noise_level(schedule, t_min);
  return level.weight * level.mask_probability;
}

NoiseSchedule parse_noise_schedule(std::string_view name) {
  for (const auto& [known, schedule] : kSchedules) {
    if (name == known)
      return schedule;
  }
  throw unknown_name("schedule", name, noise_schedule_names());
}

std::vector<std::string> noise_schedule_names() {
  std::vector<std::string> names;
  for (const auto& [name, schedule] : kSchedules) names.emplace_back(name);
  return names;
}

}  // namespace dlm
