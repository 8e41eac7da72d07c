#include "metrics/generative_perplexity.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>
#include <utility>

#include "harness/base/error.h"
#include "harness/base/stats.h"

namespace dlm {
namespace {

constexpr std::array<std::pair<EosConvention, const char*>, 3> kConventions{
    {{EosConvention::kClean, "clean"},
     {EosConvention::kBd3lms, "bd3lms"},
     {EosConvention::kMdlm, "mdlm"}}};

void check_options(const JudgeOptions& options) {
  if (options.window < 2)
    throw ConfigError("window", fmt::format("{}", options.window), "must be at least 2");
  const bool overlaps = options.convention != EosConvention::kMdlm;
  if (overlaps && (options.stride < 1 || options.stride >= options.window)) {
    throw ConfigError("stride", fmt::format("{}", options.stride),
                      fmt::format("must lie in [1, window - 1 = {}]", options.window - 1));
  }
}

// Which tokens of [first, end) count; `start` is where the window begins.
std::vector<char> counted_tokens(std::span<const std::int64_t> ids, std::size_t start,
                                 std::size_t first, const JudgeOptions& options) {
  std::vector<char> counted;
  const bool keeps_first_eos = options.convention == EosConvention::kMdlm;
  bool seen = false;  // an end-of-text token of this window
  for (std::size_t i = start; i < ids.size(); ++i) {
    const bool eos = ids[i] == options.eos_id;
    const bool counts =
        options.convention == EosConvention::kClean || !eos || (keeps_first_eos && !seen);
    seen = seen || eos;
    if (i >= first)
      counted.push_back(counts ? 1 : 0);
  }
  return counted;
}

struct WindowOf {
  std::size_t text;
  JudgeWindow window;
};

std::vector<WindowOf> all_windows(std::span<const std::vector<std::int64_t>> texts,
                                  const JudgeOptions& options) {
  std::vector<WindowOf> windows;
  for (std::size_t text = 0; text < texts.size(); ++text) {
    for (JudgeWindow& window : judge_windows(texts[text], options))
      windows.push_back({text, std::move(window)});
  }
  std::stable_sort(windows.begin(), windows.end(), [](const WindowOf& a, const WindowOf& b) {
    return a.window.window.ids.size() > b.window.window.ids.size();
  });
  return windows;
}

// The part of `whole` that falls on ids [before, before + ids) of `all`; parts add up to the whole.
std::int64_t share(std::int64_t whole, std::int64_t before, std::int64_t ids, std::int64_t all) {
  const auto up_to = [&](std::int64_t count) {
    return static_cast<std::int64_t>(static_cast<double>(whole) * static_cast<double>(count) /
                                     static_cast<double>(all));
  };
  return up_to(before + ids) - up_to(before);
}

void add_window(JudgedText& text, const JudgeWindow& window, std::span<const double> nll) {
  for (std::size_t i = 0; i < nll.size(); ++i) {
    if (window.counted[i] == 0)
      continue;
    text.nll += nll[i];
    ++text.tokens;
  }
  const std::int64_t counted = std::count(window.counted.begin(), window.counted.end(), 1);
  text.context += std::ssize(window.window.ids) - counted;
}

void judge_batch(const LanguageModel& judge, std::span<const WindowOf> batch,
                 std::vector<JudgedText>& judged) {
  std::vector<ScoringWindow> windows;
  std::int64_t all = 0;
  for (const WindowOf& one : batch) {
    windows.push_back(one.window.window);
    all += std::ssize(windows.back().ids);
  }
  const PassCounts before = judge.counts();
  const auto start = std::chrono::steady_clock::now();
  const auto nll = judge.token_nll(windows);
  const auto wall = std::chrono::duration_cast<std::chrono::nanoseconds>(
      std::chrono::steady_clock::now() - start);
  const PassCounts cost = judge.counts() - before;
  std::int64_t done = 0;
  for (std::size_t i = 0; i < batch.size(); ++i) {
    JudgedText& text = judged[batch[i].text];
    const std::int64_t ids = std::ssize(windows[i].ids);
    add_window(text, batch[i].window, nll[i]);
    text.counts.passes += 1;
    text.counts.head_rows += std::ssize(nll[i]);
    text.counts.positions += share(cost.positions, done, ids, all);
    text.counts.flops += cost.flops * static_cast<double>(ids) / static_cast<double>(all);
    text.wall_ns += share(wall.count(), done, ids, all);
    done += ids;
  }
}

Estimate estimate_of(const char* variant, const MeanEstimate& mean) {
  Estimate estimate;
  estimate.metric = "generative_perplexity";
  estimate.variant = variant;
  estimate.value = mean.value;
  estimate.se_data = mean.std_error;
  estimate.se_mc = 0;
  estimate.n = estimate.n_clusters = mean.n;
  if (const auto interval = t_interval(mean)) {
    estimate.ci_low = interval->low;
    estimate.ci_high = interval->high;
    estimate.ci_method = "t";
  }
  return estimate;
}

}  // namespace

std::string eos_convention_name(EosConvention convention) {
  for (const auto& [known, name] : kConventions) {
    if (known == convention)
      return name;
  }
  DLM_CHECK(false, "convention {}", static_cast<int>(convention));
  return {};
}

EosConvention eos_convention(std::string_view name) {
  std::vector<std::string> names;
  for (const auto& [convention, known] : kConventions) {
    if (name == known)
      return convention;
    names.emplace_back(known);
  }
  throw unknown_name("convention", name, names);
}

std::vector<JudgeWindow> judge_windows(std::span<const std::int64_t> ids,
                                       const JudgeOptions& options) {
  check_options(options);
  const auto length = static_cast<std::size_t>(options.window);
  const bool overlaps = options.convention != EosConvention::kMdlm;
  const std::size_t stride = overlaps ? static_cast<std::size_t>(options.stride) : length;
  std::vector<JudgeWindow> windows;
  const bool all = options.scores_first && options.convention == EosConvention::kClean;
  std::size_t scored = all ? 0 : 1;  // every token before it is scored or never will be
  for (std::size_t start = 0; scored < ids.size(); start += stride) {
    const std::size_t end = std::min(start + length, ids.size());
    const std::size_t first = std::max(scored, start + (all && start == 0 ? 0 : 1));
    scored = end;
    if (first >= end)
      continue;
    const auto part = ids.subspan(start, end - start);
    windows.push_back({{{part.begin(), part.end()}, static_cast<std::int64_t>(first - start)},
                       counted_tokens(ids.first(end), start, first, options)});
  }
  return windows;
}

std::vector<JudgedText> judge_texts(const LanguageModel& judge,
                                    std::span<const std::vector<std::int64_t>> texts,
                                    const JudgeOptions& options, std::int64_t batch_size) {
  check_options(options);
  if (batch_size < 1)
    throw ConfigError("batch-size", fmt::format("{}", batch_size), "must be at least 1");
  std::vector<JudgedText> judged(texts.size());
  const std::vector<WindowOf> windows = all_windows(texts, options);
  const auto size = static_cast<std::size_t>(batch_size);
  for (std::size_t first = 0; first < windows.size(); first += size) {
    judge_batch(judge, std::span(windows).subspan(first, std::min(size, windows.size() - first)),
                judged);
  }
  return judged;
}

std::vector<Estimate> generative_perplexity(std::span<const ExampleRow> rows) {
  std::vector<double> nll, tokens, perplexities;
  for (const ExampleRow& row : rows) {
    if (row.tokens <= 0)
      continue;
    DLM_CHECK(std::isfinite(row.nll), "document {}: nll is {}", row.doc_id, row.nll);
    nll.push_back(row.nll);
    tokens.push_back(static_cast<double>(row.tokens));
    perplexities.push_back(std::exp(row.nll / tokens.back()));
  }
  if (nll.empty())
    throw ConfigError("generations", fmt::format("{} texts", rows.size()),
                      "nothing measured: none has a token to score");
  std::vector<Estimate> out;
  Estimate pooled = estimate_of("pooled", ratio_estimate(nll, tokens));
  pooled.value = std::exp(pooled.value);
  if (pooled.se_data)
    pooled.se_data = pooled.value * *pooled.se_data;
  if (pooled.ci_low) {
    pooled.ci_low = std::exp(*pooled.ci_low);
    pooled.ci_high = std::exp(*pooled.ci_high);
    pooled.ci_method = "t on the log";
  }
  out.push_back(std::move(pooled));
  out.push_back(estimate_of("sample mean", mean_estimate(perplexities)));
  std::erase_if(out, [](const Estimate& estimate) {
    return !std::isfinite(estimate.value) || !std::isfinite(estimate.se_data.value_or(0)) ||
           !std::isfinite(estimate.ci_high.value_or(0));
  });
  return out;
}

std::vector<MetricDefinition> generative_perplexity_definitions() {
  return {
      {"generative_perplexity", "1", "lo", "pooled or mean over samples",
       "perplexity of the samples under a judge; pooled: exp of the nll over all tokens; sample "
       "mean: mean of each sample's own"}};
}

}  // namespace dlm
