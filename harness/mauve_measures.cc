#include "harness/mauve_measures.h"

#include <algorithm>
#include <cmath>
#include <string>
#include <utility>
#include <vector>

#include "harness/base/error.h"
#include "harness/base/log.h"

namespace dlm {
namespace {

constexpr std::int64_t kBootstrapDraws = 200;

struct NamedScore {
  const char* name;
  double MauveScores::*member;
};

constexpr NamedScore kScores[] = {{"mauve", &MauveScores::mauve},
                                  {"frontier_integral", &MauveScores::frontier_integral},
                                  {"mauve_star", &MauveScores::mauve_star},
                                  {"frontier_integral_star", &MauveScores::frontier_integral_star}};

void add_scores(std::vector<Estimate>& estimates, const MauveResult& result,
                const MauveOptions& options, const std::string& variant) {
  const MauveScores error = mauve_standard_error(result.runs.front(), options, kBootstrapDraws);
  const auto seeds = static_cast<double>(result.runs.size());
  for (const auto& [name, member] : kScores) {
    Estimate estimate;
    estimate.metric = name;
    estimate.variant = variant;
    estimate.value = result.mean.*member;
    estimate.se_data = error.*member;
    if (result.runs.size() > 1)
      estimate.se_mc = result.deviation.*member / std::sqrt(seeds);
    const double half = 1.96 * std::hypot(error.*member, estimate.se_mc.value_or(0));
    estimate.ci_low = std::max(0.0, estimate.value - half);
    estimate.ci_high = std::min(1.0, estimate.value + half);
    estimate.ci_method = "normal, bootstrap of texts and seeds";
    estimate.n = estimate.n_clusters = std::min(result.n_p, result.n_q);
    estimates.push_back(estimate);
    if (result.runs.size() < 2)
      continue;
    Estimate spread;
    spread.metric = "seed_deviation";
    spread.variant = variant.empty() ? name : fmt::format("{} {}", name, variant);
    spread.value = result.deviation.*member;
    spread.n = spread.n_clusters = std::ssize(result.runs);
    estimates.push_back(std::move(spread));
  }
}

void log_result(const char* what, const MauveResult& result) {
  log_info("{}: {} reference and {} other texts, k = {}, {} components", what, result.n_p,
           result.n_q, result.buckets, result.components);
}

}  // namespace

std::vector<MetricDefinition> mauve_definitions() {
  const std::string how = "mean over quantisations";
  return {
      {"mauve", "1", "hi", how, "area under the divergence curve of two quantised sets"},
      {"frontier_integral", "1", "lo", how, "integral of the divergence frontier"},
      {"mauve_star", "1", "hi", how, "mauve of histograms smoothed by half a count a bin"},
      {"frontier_integral_star", "1", "lo", how, "frontier_integral of the smoothed histograms"},
      {"seed_deviation", "1", "none", "over quantisations",
       "standard deviation of a score between seeds of the quantisation"}};
}

Measures mauve_measures(const MauveInputs& inputs, const MauveOptions& options,
                        MauveCeiling ceiling) {
  std::vector<Estimate> estimates;
  const MauveResult result = mauve(inputs, options);
  log_result("compared", result);
  add_scores(estimates, result, options, "");
  if (ceiling == MauveCeiling::kMeasure) {
    const MauveResult best = mauve_ceiling(inputs, options);
    log_result("ceiling", best);
    add_scores(estimates, best, options, "ceiling");
  }
  return {std::move(estimates), mauve_definitions()};
}

}  // namespace dlm
