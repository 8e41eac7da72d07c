#include "models/diffusion/draw_plan.h"

#include <algorithm>
#include <cmath>
#include <string_view>

#include "harness/base/error.h"

namespace dlm {
namespace {

// Beyond this a number of documents is no longer planned with.
constexpr double kMostDocuments = 1e15;

void check_not_negative(std::string_view field, double value) {
  if (!(value >= 0) || !std::isfinite(value))
    throw ConfigError(field, fmt::format("{}", value), "0 or more");
}

void check_costs(const DrawCosts& costs, double target) {
  check_not_negative("var_data", costs.var_data);
  check_not_negative("var_mc_per_draw", costs.var_mc_per_draw);
  check_not_negative("cost_clean", costs.cost_clean);
  if (!(costs.cost_draw > 0))
    throw ConfigError("cost_draw", fmt::format("{}", costs.cost_draw), "above 0");
  if (!(target > 0))
    throw ConfigError("target standard error", fmt::format("{}", target), "above 0");
  if (costs.max_draws < 1)
    throw ConfigError("max_draws", fmt::to_string(costs.max_draws), "an integer >= 1");
}

DrawPlan plan_of(const DrawCosts& costs, std::int64_t draws, double target) {
  const double variance = costs.var_data + costs.var_mc_per_draw / static_cast<double>(draws);
  const double needed = std::clamp(std::ceil(variance / (target * target)), 1.0, kMostDocuments);
  DrawPlan plan;
  plan.draws = draws;
  plan.documents = static_cast<std::int64_t>(needed);
  if (costs.max_documents > 0 && plan.documents > costs.max_documents) {
    plan.documents = costs.max_documents;
    plan.reaches_target = false;
  }
  const auto documents = static_cast<double>(plan.documents);
  plan.cost = documents * (costs.cost_clean + static_cast<double>(draws) * costs.cost_draw);
  plan.std_error = std::sqrt(variance / documents);
  return plan;
}

}  // namespace

DrawPlan choose_draws(const DrawCosts& costs, double target_std_error) {
  check_costs(costs, target_std_error);
  DrawPlan best = plan_of(costs, costs.max_draws, target_std_error);
  for (std::int64_t draws = costs.max_draws - 1; draws >= 1; --draws) {
    const DrawPlan plan = plan_of(costs, draws, target_std_error);
    if (plan.reaches_target && (!best.reaches_target || plan.cost <= best.cost))
      best = plan;
  }
  return best;
}

StoppingRule::StoppingRule(const TargetInterval& target) : target_(target) {
  if (!(target.relative > 0 && target.relative <= 1))
    throw ConfigError("target interval", fmt::format("{}", target.relative), "in (0, 1]");
  if (!(target.level > 0 && target.level < 1))
    throw ConfigError("level", fmt::format("{}", target.level), "inside (0, 1)");
  if (target.min_documents < 2 || target.check_every < 1)
    throw ConfigError("documents",
                      fmt::format("{}, every {}", target.min_documents, target.check_every),
                      "at least 2, every 1 or more");
}

bool StoppingRule::add(double nats, double tokens) {
  ratio_.add(nats, tokens);
  ++documents_;
  const std::int64_t beyond = documents_ - target_.min_documents;
  if (is_met_ || beyond < 0 || beyond % target_.check_every != 0)
    return is_met_;
  const auto half = ratio_.half_width(target_.level);
  is_met_ = half && *half <= std::log1p(target_.relative);
  return is_met_;
}

}  // namespace dlm
