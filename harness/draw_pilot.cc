#include "harness/draw_pilot.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "harness/base/error.h"
#include "harness/base/stats.h"
#include "models/diffusion/draw_plan.h"

namespace dlm {
namespace {

constexpr std::size_t kPilotUnits = 24;
constexpr std::int64_t kPilotDraws = 4;
constexpr std::uint64_t kOwnMasks = 0x70696c6f74ULL;  // makes another seed of the run's

double work(const PassCounts& counts) {
  return counts.flops > 0 ? counts.flops : static_cast<double>(counts.positions);
}

struct Measured {
  std::vector<double> nats, tokens, mc_variance;  // of each unit; the last of its mean over draws
  double clean = 0, draws = 0;                    // work
};

Measured measure(const Denoiser& denoiser, std::span<const ScoringUnit> units,
                 EstimatorOptions options) {
  options.seed ^= kOwnMasks;
  options.draws = options.replicates = kPilotDraws;
  Measured measured;
  std::uint64_t example = 0;
  for (const ScoringUnit& unit : units) {
    std::vector<std::vector<std::int64_t>> sequences;
    std::vector<std::uint64_t> examples;
    for (const ScoringWindow& window : unit.windows) {
      sequences.push_back(window.ids);
      examples.push_back(example++);
    }
    const LikelihoodEstimates all = estimate_likelihood(denoiser, sequences, examples, options);
    double nats = 0;
    double tokens = 0;
    double variance = 0;
    for (const SequenceEstimate& one : all.sequences) {
      nats += one.nats;
      tokens += static_cast<double>(one.tokens);
      variance += one.m2 / static_cast<double>(kPilotDraws * (kPilotDraws - 1));
    }
    measured.nats.push_back(nats);
    measured.tokens.push_back(tokens);
    measured.mc_variance.push_back(variance);
    measured.clean += work(all.clean);
    measured.draws += work(all.draws);
  }
  return measured;
}

double mean_of(const std::vector<double>& values) {
  double sum = 0;
  for (const double value : values) sum += value;
  return sum / static_cast<double>(values.size());
}

// Out of reach, more draws still narrow the interval, towards what the documents alone allow: as
// many as bring it within 2.5 % of that.
std::int64_t draws_near_limit(const DrawCosts& costs) {
  const double wanted = costs.var_data > 0 ? costs.var_mc_per_draw / (0.05 * costs.var_data)
                                           : static_cast<double>(costs.max_draws);
  return std::clamp(static_cast<std::int64_t>(std::ceil(std::min(wanted, 1e6))), std::int64_t{2},
                    costs.max_draws);
}

// As many draws at least, the same for every replicate asked for.
std::int64_t for_replicates(std::int64_t draws, const EstimatorOptions& options) {
  const std::int64_t replicates = std::max<std::int64_t>(1, options.replicates);
  return (draws + replicates - 1) / replicates * replicates;
}

}  // namespace

DrawPilot run_draw_pilot(const Denoiser& denoiser, std::span<const ScoringUnit> units,
                         const EstimatorOptions& options, double target) {
  if (options.name != "stratified" && options.name != "reference")
    throw ConfigError("estimator.draws", "0",
                      fmt::format("a number: none is chosen for the estimator {}", options.name));
  const auto some = units.first(std::min(units.size(), kPilotUnits));
  DrawPilot pilot;
  pilot.documents = std::ssize(some);
  pilot.draws = for_replicates(pilot.draws, options);
  if (some.size() < 2)
    return pilot;
  const Measured m = measure(denoiser, some, options);
  const auto n = static_cast<double>(some.size());
  const double tokens = mean_of(m.tokens);
  const double rate = mean_of(m.nats) / tokens;
  double spread = 0;  // of the linearised ratio: nats/token
  for (std::size_t i = 0; i < some.size(); ++i) {
    const double residual = (m.nats[i] - rate * m.tokens[i]) / tokens;
    spread += residual * residual / (n - 1);
  }
  const double mc = mean_of(m.mc_variance) / (tokens * tokens);
  DrawCosts costs;
  costs.var_data = std::max(0.0, spread - mc);
  costs.var_mc_per_draw = mc * static_cast<double>(kPilotDraws);
  costs.cost_clean = m.clean / n;
  costs.cost_draw = m.draws / (n * static_cast<double>(kPilotDraws));
  costs.max_documents = std::ssize(units);
  const double half = std::log1p(target);
  const DrawPlan plan = choose_draws(costs, half / normal_quantile(0.975));
  pilot.draws = std::max<std::int64_t>(2, plan.draws);
  if (!plan.reaches_target)
    pilot.draws = draws_near_limit(costs);
  pilot.draws = for_replicates(pilot.draws, options);
  pilot.expected_documents = plan.documents;
  pilot.reaches_target = plan.reaches_target;
  return pilot;
}

}  // namespace dlm
