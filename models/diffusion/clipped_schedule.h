// The interval of noise levels to train on, found by measuring the variance of the NELBO on each of
// a grid of them. Source: bd3lms metrics.py `init_valid_vars`, diffusion.py `validation_step`,
// `_clipped_schedule_search`; arXiv:2503.09573, section 5.2.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "models/denoiser.h"

namespace dlm {

struct NoiseInterval {
  double low = 1e-3;
  double high = 1;
};

struct IntervalGrid {
  std::vector<double> widths = {0.5, 0.6, 0.7, 0.8, 0.9};
  double delta = 0.05;  // between lower bounds
};

// (1e-3, 1), then for each width the lower bounds 0, delta, 2 delta, .. below 1 - width + delta,
// raised to 1e-3, in the f32 arithmetic of torch.arange: 36 for the default grid. Other grids may
// hold one that ends above 1, as the original's do. For a block size of 1: (1e-3, 1) and (1, 1).
// Throws ConfigError for a width outside (0, 1] or a delta that is not above 0.
std::vector<NoiseInterval> candidate_intervals(const IntervalGrid& grid, std::int64_t block_size);

// What a block of one token is evaluated by.
enum class SingleToken { kNll, kNelbo };

// Whether the published code reports the loss on this interval as a likelihood: (1e-3, 1) is the
// bound, a lower bound of 1 at block size 1 the exact NLL; others serve the search alone.
bool is_reported_interval(const NoiseInterval& interval, std::int64_t block_size,
                          SingleToken single_token);

// "Var. NELBO" of one batch: the unbiased variance, over all sequences and blocks, of a block's
// weighted losses summed and divided by L' (a given first token counts as 0). losses[s][i] in nats.
// Throws ConfigError where lengths are no multiple of L' or there are fewer than two blocks.
double nelbo_variance(std::span<const std::vector<double>> losses, std::int64_t block_size);

struct ClippedSearchOptions {
  std::int64_t block_size = 4;  // L'
  IntervalGrid grid;
  std::uint64_t seed = 1;
  bool keeps_first_clean = true;  // the first token of a sequence is never masked
  bool resamples = true;          // masks are drawn again until their fraction is in the interval
  std::size_t max_batches = 100;  // later ones are left out
  std::int64_t chunk_positions = 1 << 14;
};

struct IntervalVariance {
  NoiseInterval interval;
  double mean = 0;                  // over batches of nelbo_variance
  std::optional<double> std_error;  // of it, over batches; absent for a single one
};

struct ScheduleSearch {
  std::vector<IntervalVariance> intervals;
  std::size_t best = 0;  // the smallest variance, the first among equals
};

// "Var. NELBO" of one interval: the mean of nelbo_variance over the first max_batches batches,
// drawn as search_clipped_schedule says. Throws ConfigError where there is no batch.
IntervalVariance interval_variance(const Denoiser& denoiser,
                                   std::span<const std::vector<std::vector<std::int64_t>>> batches,
                                   const NoiseInterval& interval,
                                   const ClippedSearchOptions& options);

// Measures every candidate on the same batches, each of sequences of one length. Row r of a batch
// of K takes the published stratum (r, block) of K rows; the uniforms of a sequence, numbered
// through all batches, are the same for all intervals, which makes their variances comparable.
ScheduleSearch search_clipped_schedule(
    const Denoiser& denoiser, std::span<const std::vector<std::vector<std::int64_t>>> batches,
    const ClippedSearchOptions& options);

// Index of the smallest, the first among equals. Throws ConfigError where there is none.
std::size_t smallest_variance(std::span<const double> variances);

}  // namespace dlm
