#include "metrics/mauve.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include <ATen/ops/cat.h>
#include <ATen/ops/empty.h>

#include "harness/base/error.h"
#include "harness/base/random.h"
#include "metrics/kmeans.h"
#include "metrics/pca.h"
#include "metrics/tiles.h"
#include "models/transformer/inference_scope.h"

namespace dlm {
namespace {

constexpr std::int64_t kTile = 256;

constexpr double MauveScores::*kScores[] = {&MauveScores::mauve, &MauveScores::frontier_integral,
                                            &MauveScores::mauve_star,
                                            &MauveScores::frontier_integral_star};

void check_options(const MauveOptions& options) {
  const auto at_least = [](std::string_view field, std::int64_t value, std::int64_t least) {
    if (value < least)
      throw ConfigError(field, fmt::format("{}", value), fmt::format("must be at least {}", least));
  };
  at_least("seeds", options.seeds, 1);
  if (options.buckets != 0)
    at_least("buckets", options.buckets, 2);
}

at::Tensor as_rows(const at::Tensor& features, std::string_view name) {
  if (features.dim() != 2 || features.size(1) < 1 || !features.is_floating_point()) {
    throw ConfigError(name, fmt::format("{} dimensions", features.dim()),
                      "needs floating values of shape (N, D)");
  }
  if (features.size(0) < 1)
    throw ConfigError(name, "0 rows", "needs at least one");
  return features.to(at::kFloat).contiguous();
}

// Rows of `from` scaled to length 1, into `to`.
void normalise_rows(const at::Tensor& from, at::Tensor to, std::string_view name) {
  const std::int64_t dims = from.size(1);
  const float* in = from.const_data_ptr<float>();
  float* out = to.mutable_data_ptr<float>();
  for_each_tile(tile_count(from.size(0), kTile), [&](std::int64_t tile) {
    for (std::int64_t row = tile * kTile; row < std::min(from.size(0), (tile + 1) * kTile); ++row) {
      double sum = 0;
      const float* x = in + row * dims;
#pragma omp simd reduction(+ : sum)
      for (std::int64_t i = 0; i < dims; ++i) {
        const double value = x[i];
        sum += value * value;
      }
      if (!std::isfinite(sum)) {
        throw DataError(name, -1, "finite values", fmt::format("NaN or infinity in row {}", row));
      }
      const double scale = sum > 0 ? 1 / std::sqrt(sum) : 0;
      for (std::int64_t i = 0; i < dims; ++i)
        out[row * dims + i] = static_cast<float>(x[i] * scale);
    }
  });
}

// [q; p], as the published program stacks them.
at::Tensor stacked(const at::Tensor& p, const at::Tensor& q, const MauveInputs& inputs) {
  if (p.size(1) != q.size(1)) {
    throw ConfigError("features", fmt::format("{} and {} values a row", p.size(1), q.size(1)),
                      "both sets need the same features");
  }
  at::Tensor rows = at::empty({q.size(0) + p.size(0), p.size(1)}, at::kFloat);
  normalise_rows(q, rows.narrow(0, 0, q.size(0)), inputs.q_name);
  normalise_rows(p, rows.narrow(0, q.size(0), p.size(0)), inputs.p_name);
  return rows;
}

// min(n_p, n_q) / 10, halves to even.
std::int64_t automatic_buckets(std::int64_t n_p, std::int64_t n_q) {
  const std::int64_t n = std::min(n_p, n_q), tens = n / 10, rest = n % 10;
  const bool up = rest > 5 || (rest == 5 && tens % 2 == 1);
  return std::max<std::int64_t>(2, tens + (up ? 1 : 0));
}

void summarise(MauveResult& result) {
  const auto n = static_cast<double>(result.runs.size());
  for (const auto score : kScores) {
    double sum = 0, squares = 0;
    for (const MauveRun& run : result.runs) sum += run.scores.*score;
    const double mean = sum / n;
    for (const MauveRun& run : result.runs) {
      squares += (run.scores.*score - mean) * (run.scores.*score - mean);
    }
    result.mean.*score = mean;
    result.deviation.*score = n > 1 ? std::sqrt(squares / (n - 1)) : 0;
  }
}

// Counts after drawing as many rows again, each from the bins by their shares.
std::vector<std::int64_t> redrawn(const std::vector<std::int64_t>& counts,
                                  const RandomStream& stream, std::uint64_t draw) {
  std::vector<std::int64_t> rising(counts.size());
  std::partial_sum(counts.begin(), counts.end(), rising.begin());
  const std::int64_t total = rising.back();
  std::vector<std::int64_t> drawn(counts.size());
  for (std::int64_t i = 0; i < total; ++i) {
    const auto pick = static_cast<std::int64_t>(
        stream.below(static_cast<std::uint64_t>(total), draw, static_cast<std::uint64_t>(i)));
    const auto bin = std::upper_bound(rising.begin(), rising.end(), pick) - rising.begin();
    ++drawn[static_cast<std::size_t>(bin)];
  }
  return drawn;
}

}  // namespace

MauveResult mauve(const MauveInputs& inputs, const MauveOptions& options) {
  const InferenceScope scope;
  check_options(options);
  const at::Tensor p = as_rows(inputs.p, inputs.p_name), q = as_rows(inputs.q, inputs.q_name);
  MauveResult result;
  result.n_p = p.size(0);
  result.n_q = q.size(0);
  result.buckets =
      options.buckets > 0 ? options.buckets : automatic_buckets(result.n_p, result.n_q);
  if (result.buckets > result.n_p + result.n_q) {
    throw ConfigError("buckets", fmt::format("{}", result.buckets),
                      fmt::format("more clusters than the {} texts", result.n_p + result.n_q));
  }
  const Pca pca = principal_components(stacked(p, q, inputs), options.explained_variance);
  result.components = std::ssize(pca.variance_ratio);
  for (std::int64_t s = 0; s < options.seeds; ++s) {
    const Kmeans clusters =
        kmeans(pca.projected, {result.buckets, options.restarts, options.max_iterations,
                               options.seed + static_cast<std::uint64_t>(s)});
    MauveRun run;
    run.p_counts.resize(static_cast<std::size_t>(result.buckets));
    run.q_counts = run.p_counts;
    for (std::size_t i = 0; i < clusters.labels.size(); ++i) {
      auto& counts = static_cast<std::int64_t>(i) < result.n_q ? run.q_counts : run.p_counts;
      ++counts[static_cast<std::size_t>(clusters.labels[i])];
    }
    run.scores = mauve_scores(run.p_counts, run.q_counts, options.curve);
    run.objective = clusters.objective;
    run.iterations = clusters.iterations;
    result.runs.push_back(std::move(run));
  }
  summarise(result);
  return result;
}

MauveResult mauve_ceiling(const MauveInputs& inputs, const MauveOptions& options) {
  const InferenceScope scope;
  const at::Tensor p = as_rows(inputs.p, inputs.p_name);
  const std::int64_t n = p.size(0);
  const std::int64_t taken = std::min(inputs.q.size(0), n / 2);
  if (taken < 1) {
    throw ConfigError(inputs.p_name, fmt::format("{} rows", n),
                      "needs at least two to be split for the ceiling");
  }
  const RandomStream stream(options.seed, Purpose::kReferenceSplit, 0);
  std::vector<std::int64_t> order(static_cast<std::size_t>(n));
  std::iota(order.begin(), order.end(), 0);
  for (std::int64_t i = 0; i < taken; ++i) {
    const auto pick = i + static_cast<std::int64_t>(stream.below(static_cast<std::uint64_t>(n - i),
                                                                 0, static_cast<std::uint64_t>(i)));
    std::swap(order[static_cast<std::size_t>(i)], order[static_cast<std::size_t>(pick)]);
  }
  at::Tensor index = at::empty({n}, at::kLong);
  std::copy(order.begin(), order.end(), index.mutable_data_ptr<std::int64_t>());
  const at::Tensor mixed = p.index_select(0, index);
  return mauve(
      {mixed.narrow(0, taken, n - taken), mixed.narrow(0, 0, taken), inputs.p_name, inputs.p_name},
      options);
}

MauveScores mauve_standard_error(const MauveRun& run, const MauveOptions& options,
                                 std::int64_t draws) {
  if (draws < 2)
    throw ConfigError("draws", fmt::format("{}", draws), "must be at least 2");
  const RandomStream p_stream(options.seed, Purpose::kBootstrap, 0);
  const RandomStream q_stream(options.seed, Purpose::kBootstrap, 1);
  std::vector<MauveScores> scores(static_cast<std::size_t>(draws));
  for_each_tile(draws, [&](std::int64_t draw) {
    const auto step = static_cast<std::uint64_t>(draw);
    scores[static_cast<std::size_t>(draw)] =
        mauve_scores(redrawn(run.p_counts, p_stream, step), redrawn(run.q_counts, q_stream, step),
                     options.curve);
  });
  MauveScores error;
  for (const auto score : kScores) {
    double sum = 0, squares = 0;
    for (const MauveScores& one : scores) sum += one.*score;
    const double mean = sum / static_cast<double>(draws);
    for (const MauveScores& one : scores) squares += (one.*score - mean) * (one.*score - mean);
    error.*score = std::sqrt(squares / static_cast<double>(draws - 1));
  }
  return error;
}

}  // namespace dlm
