#include "metrics/text_statistics.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <functional>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <utility>

#include "harness/base/error.h"
#include "harness/base/stats.h"

namespace dlm {
namespace {

constexpr std::int64_t kRepetitionWindow = 128;

// Distinct windows of n ids; sorted starts rather than hashes, so that nothing can collide.
std::int64_t count_distinct(TokenSpan ids, std::int64_t n) {
  std::vector<std::size_t> starts(ids.size() - static_cast<std::size_t>(n) + 1);
  for (std::size_t i = 0; i < starts.size(); ++i) starts[i] = i;
  const auto gram = [&](std::size_t start) {
    return ids.subspan(start, static_cast<std::size_t>(n));
  };
  std::sort(starts.begin(), starts.end(), [&](std::size_t a, std::size_t b) {
    return std::ranges::lexicographical_compare(gram(a), gram(b));
  });
  const auto last = std::unique(starts.begin(), starts.end(), [&](std::size_t a, std::size_t b) {
    return std::ranges::equal(gram(a), gram(b));
  });
  return last - starts.begin();
}

using Quantity = std::function<std::optional<double>(TokenSpan)>;

// The mean over the texts that have the quantity; nothing where none has.
void add_mean(std::vector<Estimate>& out, std::pair<const char*, const char*> name,
              std::span<const std::vector<std::int64_t>> texts, const Quantity& quantity) {
  std::vector<double> values;
  for (const auto& text : texts) {
    if (const auto value = quantity(text))
      values.push_back(*value);
  }
  if (values.empty())
    return;
  const MeanEstimate mean = mean_estimate(values);
  Estimate estimate;
  estimate.metric = name.first;
  estimate.variant = name.second;
  estimate.value = mean.value;
  estimate.se_data = mean.std_error;
  estimate.n = estimate.n_clusters = mean.n;
  if (const auto interval = t_interval(mean)) {
    estimate.ci_low = interval->low;
    estimate.ci_high = interval->high;
    estimate.ci_method = "t";
  }
  out.push_back(std::move(estimate));
}

Estimate length_estimate(const char* variant, double value, std::size_t n) {
  Estimate estimate;
  estimate.metric = "sample_length";
  estimate.variant = variant;
  estimate.value = value;
  estimate.n = estimate.n_clusters = static_cast<std::int64_t>(n);
  return estimate;
}

// Ranks n / 2 -+ 1.96 sqrt(n) / 2. Source: Conover, Practical Nonparametric Statistics, 3rd ed.,
// 3.2.
Estimate median_length(const std::vector<double>& rising) {
  const auto n = static_cast<double>(rising.size());
  Estimate estimate = length_estimate("median", quantile(rising, 0.5), rising.size());
  const double half = normal_quantile(0.975) * std::sqrt(n) / 2;
  const double low = std::floor(n / 2 - half), high = std::ceil(n / 2 + half);
  if (low >= 1 && high <= n) {
    estimate.ci_low = rising[static_cast<std::size_t>(low) - 1];
    estimate.ci_high = rising[static_cast<std::size_t>(high) - 1];
    estimate.ci_method = "order statistics";
  }
  return estimate;
}

// The bin of a length: 0 for 0, else its number of binary digits.
std::size_t bin_of(double length) {
  return static_cast<std::size_t>(64 - std::countl_zero(static_cast<std::uint64_t>(length)));
}

void add_histogram(std::vector<Estimate>& out, const std::vector<double>& rising) {
  const std::size_t first = bin_of(rising.front()), last = bin_of(rising.back());
  for (std::size_t bin = first; bin <= last; ++bin) {
    const auto count = std::count_if(rising.begin(), rising.end(),
                                     [&](double length) { return bin_of(length) == bin; });
    const std::uint64_t low = bin == 0 ? 0 : std::uint64_t{1} << (bin - 1);
    Estimate estimate = length_estimate("", 0, rising.size());
    estimate.metric = "sample_length_share";
    // Padded, so that the bins stand in order wherever they are sorted by name.
    estimate.variant = fmt::format("{:>6} to {:>6}", low, std::max<std::uint64_t>(2 * low, 1) - 1);
    estimate.value = static_cast<double>(count) / static_cast<double>(rising.size());
    const Interval interval = wilson_interval(count, estimate.n);
    estimate.ci_low = interval.low;
    estimate.ci_high = interval.high;
    estimate.ci_method = "Wilson";
    out.push_back(std::move(estimate));
  }
}

}  // namespace

std::optional<double> distinct_ngrams(TokenSpan ids, std::int64_t n) {
  DLM_CHECK(n >= 1, "n-grams of {}", n);
  if (std::ssize(ids) < n)
    return std::nullopt;
  const std::int64_t grams = std::ssize(ids) - n + 1;
  return static_cast<double>(count_distinct(ids, n)) / static_cast<double>(grams);
}

std::optional<double> repeated_tokens(TokenSpan ids, std::int64_t window) {
  DLM_CHECK(window >= 1, "a window of {}", window);
  if (ids.empty())
    return std::nullopt;
  std::unordered_map<std::int64_t, std::int64_t> last;
  std::int64_t repeated = 0;
  for (std::int64_t i = 0; i < std::ssize(ids); ++i) {
    const std::int64_t id = ids[static_cast<std::size_t>(i)];
    const auto [before, fresh] = last.try_emplace(id, i);
    if (!fresh && i - before->second <= window)
      ++repeated;
    before->second = i;
  }
  return static_cast<double>(repeated) / static_cast<double>(ids.size());
}

std::vector<Estimate> text_statistics(std::span<const std::vector<std::int64_t>> texts) {
  if (texts.empty())
    throw ConfigError("generations", "0 texts", "needs at least one");
  std::vector<Estimate> out;
  add_mean(out, {"unigram_entropy", ""}, texts, unigram_entropy);
  for (const auto& [n, name] : {std::pair{1, "1"}, {2, "2"}, {3, "3"}}) {
    add_mean(out, {"distinct_n", name}, texts,
             [length = n](TokenSpan ids) { return distinct_ngrams(ids, length); });
  }
  add_mean(out, {"repetition", "4-gram"}, texts, [](TokenSpan ids) {
    const auto distinct = distinct_ngrams(ids, 4);
    return distinct ? std::optional(1 - *distinct) : std::nullopt;
  });
  add_mean(out, {"repetition", "128 tokens"}, texts,
           [](TokenSpan ids) { return repeated_tokens(ids, kRepetitionWindow); });
  add_mean(out, {"sample_length", "mean"}, texts,
           [](TokenSpan ids) { return std::optional(static_cast<double>(ids.size())); });
  std::vector<double> lengths;
  for (const auto& text : texts) lengths.push_back(static_cast<double>(text.size()));
  std::sort(lengths.begin(), lengths.end());
  out.push_back(median_length(lengths));
  out.push_back(length_estimate("max", lengths.back(), lengths.size()));
  add_histogram(out, lengths);
  return out;
}

std::vector<MetricDefinition> text_statistics_definitions() {
  return {
      {"unigram_entropy", "nats", "none", "mean over samples",
       "entropy of the frequencies of a sample's own tokens"},
      {"distinct_n", "1", "hi", "mean over samples",
       "distinct n-grams of a sample over its n-grams"},
      {"repetition", "1", "lo", "mean over samples",
       "4-gram: share of a sample's 4-grams that repeat an earlier one; 128 tokens: share of its "
       "tokens that occur among the 128 before"},
      {"sample_length", "tokens", "none", "mean, median, maximum over samples",
       "tokens of a sample, special ones not counted"},
      {"sample_length_share", "1", "none", "share of samples",
       "samples with a length in the range of tokens"},
  };
}

}  // namespace dlm
