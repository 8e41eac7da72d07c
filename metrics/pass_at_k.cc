#include "metrics/pass_at_k.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <optional>
#include <set>

#include <fmt/format.h>

#include "harness/base/error.h"
#include "harness/base/stats.h"

namespace dlm {
namespace {

struct Problem {
  std::int64_t samples = 0;
  std::int64_t correct = 0;
};

std::map<std::string, Problem> problems_of(std::span<const ExampleRow> rows) {
  std::map<std::string, Problem> problems;
  for (const ExampleRow& row : rows) {
    DLM_CHECK(row.score && (*row.score == 0 || *row.score == 1),
              "document {}: pass@k is of samples that are right or wrong", row.doc_id);
    Problem& problem = problems[row.doc_id];
    ++problem.samples;
    problem.correct += *row.score == 1 ? 1 : 0;
  }
  if (problems.empty())
    throw ConfigError("metric", "pass_at_k", "at least one problem");
  return problems;
}

std::string named(const std::string& name, const std::string& variant) {
  return variant.empty() ? name : name + ", " + variant;
}

// Where all problems agree on 0 or 1 their spread says nothing: Wilson's interval over problems
// then, and an error that is unknown.
void set_interval(Estimate& estimate, const MeanEstimate& mean) {
  const bool agree = mean.std_error.value_or(1) == 0 && (mean.value == 0 || mean.value == 1);
  if (agree) {
    const Interval wilson =
        wilson_interval(mean.value == 1 ? estimate.n_clusters : 0, estimate.n_clusters);
    estimate.se_data = std::nullopt;
    estimate.ci_low = wilson.low;
    estimate.ci_high = wilson.high;
    estimate.ci_method = "Wilson over problems";
  } else if (const auto interval = t_interval(mean)) {
    estimate.ci_low = std::max(0.0, interval->low);
    estimate.ci_high = std::min(1.0, interval->high);
    estimate.ci_method = "t over problems";
  }
}

// log of C(n, c) p^c (1 - p)^(n - c), 0 < p < 1.
double log_binomial(std::int64_t n, std::int64_t c, double p) {
  const auto size = static_cast<double>(n);
  const auto count = static_cast<double>(c);
  return std::lgamma(size + 1) - std::lgamma(count + 1) - std::lgamma(size - count + 1) +
         count * std::log(p) + (size - count) * std::log1p(-p);
}

Estimate estimate_of(const std::map<std::string, Problem>& problems, std::int64_t k) {
  std::vector<double> values;
  double variance = 0;
  std::int64_t solved = 0, fewest = problems.begin()->second.samples, most = 0;
  for (const auto& [name, problem] : problems) {
    values.push_back(pass_at_k(problem.samples, problem.correct, k));
    solved += problem.correct;
    fewest = std::min(fewest, problem.samples);
    most = std::max(most, problem.samples);
    if (problem.samples > 1)
      variance += pass_at_k_variance(problem.samples, problem.correct, k);
  }
  const MeanEstimate mean = mean_estimate(values);
  Estimate estimate;
  estimate.metric = "pass_at_k";
  estimate.value = mean.value;
  estimate.se_data = mean.std_error;
  estimate.n = std::ssize(values);
  estimate.n_clusters = estimate.n;
  if (fewest > 1) {
    estimate.se_mc = std::sqrt(variance) / static_cast<double>(estimate.n);
    if (mean.std_error)
      estimate.se_data = std::sqrt(
          std::max(0.0, *mean.std_error * *mean.std_error - *estimate.se_mc * *estimate.se_mc));
  }
  set_interval(estimate, mean);
  if (most == 1) {
    const Interval wilson = wilson_interval(solved, estimate.n);
    estimate.ci_low = wilson.low;
    estimate.ci_high = wilson.high;
    estimate.ci_method = "Wilson";
  }
  return estimate;
}

}  // namespace

double pass_at_k(std::int64_t n, std::int64_t c, std::int64_t k) {
  if (n < 1 || c < 0 || c > n)
    throw ConfigError("pass_at_k", fmt::format("{} of {}", c, n), "0 <= c <= n, n >= 1");
  if (k < 1 || k > n)
    throw ConfigError("k", fmt::format("{}", k), fmt::format("1 to {} samples", n));
  if (n - c < k)
    return 1;
  double none = 1;
  for (std::int64_t i = n - c + 1; i <= n; ++i)
    none *= 1 - static_cast<double>(k) / static_cast<double>(i);
  return 1 - none;
}

double pass_at_k_variance(std::int64_t n, std::int64_t c, std::int64_t k) {
  if (n < 2)
    throw ConfigError("n", fmt::format("{}", n), "at least 2 samples");
  pass_at_k(n, c, k);  // checks the arguments
  if (c == 0 || c == n)
    return 0;
  const double p = static_cast<double>(c) / static_cast<double>(n);
  double mean = 0, square = 0;
  for (std::int64_t drawn = 0; drawn <= n; ++drawn) {
    const double weight = std::exp(log_binomial(n, drawn, p));
    const double value = pass_at_k(n, drawn, k);
    mean += weight * value;
    square += weight * value * value;
  }
  return std::max(0.0, square - mean * mean) * static_cast<double>(n) / static_cast<double>(n - 1);
}

std::vector<MetricDefinition> PassAtK::definitions() const {
  return {{"pass_at_k", "1", "hi", "unbiased from n samples",
           "chance that one of k samples passes the tests, mean over problems"}};
}

std::vector<Estimate> PassAtK::compute(std::span<const ExampleRow> rows) const {
  const auto problems = problems_of(rows);
  const std::int64_t fewest = std::ranges::min_element(problems, {}, [](const auto& entry) {
                                return entry.second.samples;
                              })->second.samples;
  std::vector<Estimate> estimates;
  for (const std::int64_t k : options_.ks) {
    if (k > fewest)
      continue;
    estimates.push_back(estimate_of(problems, k));
    estimates.back().variant = named(fmt::format("k={}", k), options_.variant);
  }
  if (estimates.empty())
    throw ConfigError("k", fmt::format("{}", fmt::join(options_.ks, ",")),
                      fmt::format("at most {}, the samples of the problem with fewest", fewest));
  return estimates;
}

std::vector<MetricDefinition> ExecShare::definitions() const {
  return {{"exec_share", "1", "none", "mean over samples",
           "share of the programs that ended so: passed, wrong, timeout, crashed"}};
}

std::vector<Estimate> ExecShare::compute(std::span<const ExampleRow> rows) const {
  std::set<std::string> statuses;
  std::map<std::string, std::int64_t> numbers;
  std::vector<std::int64_t> clusters;
  for (const ExampleRow& row : rows) {
    statuses.insert(row.exec_status);
    const auto next = static_cast<std::int64_t>(numbers.size());
    clusters.push_back(numbers.try_emplace(row.doc_id, next).first->second);
  }
  const std::vector<double> ones(rows.size(), 1);
  std::vector<Estimate> estimates;
  for (const std::string& status : statuses) {
    std::vector<double> hits;
    for (const ExampleRow& row : rows) hits.push_back(row.exec_status == status ? 1 : 0);
    const MeanEstimate share = clustered_ratio_estimate(hits, ones, clusters);
    Estimate estimate;
    estimate.metric = "exec_share";
    estimate.variant = named(status, variant_);
    estimate.value = share.value;
    estimate.se_data = share.std_error;
    estimate.n = estimate.n_clusters = std::ssize(numbers);
    set_interval(estimate, share);
    estimates.push_back(estimate);
  }
  return estimates;
}

}  // namespace dlm
