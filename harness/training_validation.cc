#include "harness/training_validation.h"

#include <algorithm>
#include <numeric>

#include "harness/base/error.h"
#include "models/diffusion/estimator.h"
#include "models/factory.h"

namespace dlm {
namespace {

using Rows = std::span<const std::vector<std::int64_t>>;

constexpr std::int64_t kRowsPerPass = 16;
constexpr std::size_t kMostSearchBatches = 100;

double exact_nats_per_token(const AutoregressiveModel& model, Rows rows) {
  double nats = 0;
  std::size_t tokens = 0;
  std::vector<ScoringWindow> windows;
  for (std::size_t i = 0; i < rows.size(); ++i) {
    windows.push_back({rows[i], 1});
    if (std::ssize(windows) < kRowsPerPass && i + 1 < rows.size())
      continue;
    for (const std::vector<double>& terms : model.token_nll(windows)) {
      nats += std::accumulate(terms.begin(), terms.end(), 0.0);
      tokens += terms.size();
    }
    windows.clear();
  }
  return nats / static_cast<double>(tokens);
}

double bound_nats_per_token(const Denoiser& denoiser, const TrainRecipe& recipe, Rows rows) {
  const bool is_sedd = denoiser.loss() == DenoiserLoss::kScoreEntropy;
  EstimatorOptions options;
  options.name = is_sedd ? "reference" : "stratified";
  options.block_size =
      trained_block_size(recipe) == recipe.model.length ? 0 : trained_block_size(recipe);
  options.seed = recipe.seed;
  options.draws = options.block_size == 1 ? 1 : 2;
  std::vector<std::uint64_t> examples(rows.size());
  std::iota(examples.begin(), examples.end(), std::uint64_t{0});
  double nats = 0, tokens = 0;
  for (const SequenceEstimate& one :
       estimate_likelihood(denoiser, rows, examples, options).sequences) {
    nats += one.nats;
    tokens += static_cast<double>(one.tokens);
  }
  return nats / tokens;
}

ScheduleSearch search_intervals(const Denoiser& denoiser, const TrainRecipe& recipe, Rows rows) {
  const auto size = static_cast<std::size_t>(recipe.batch_size);
  std::vector<std::vector<std::vector<std::int64_t>>> batches;
  for (std::size_t first = 0; first + size <= rows.size(); first += size)
    batches.emplace_back(rows.begin() + static_cast<std::ptrdiff_t>(first),
                         rows.begin() + static_cast<std::ptrdiff_t>(first + size));
  if (batches.empty())
    throw ConfigError("data.validation_rows", std::to_string(rows.size()),
                      fmt::format("at least {}, a batch, for noise.search", size));
  ClippedSearchOptions options;
  options.block_size = trained_block_size(recipe);
  options.seed = recipe.seed;
  options.resamples = recipe.noise.resample;
  options.max_batches = kMostSearchBatches;
  return search_clipped_schedule(denoiser, batches, options);
}

}  // namespace

Validation validate_checkpoint(const std::string& folder, const TrainRecipe& recipe, Rows rows) {
  Validation result;
  if (recipe.objective == "ar") {
    result.nats_per_token = exact_nats_per_token(*load_network(folder, {}), rows);
    return result;
  }
  const auto denoiser = load_denoiser(folder, {});
  result.nats_per_token = bound_nats_per_token(*denoiser, recipe, rows);
  if (recipe.noise.search)
    result.search = search_intervals(*denoiser, recipe, rows);
  return result;
}

MetricDefinition validation_metric(const TrainRecipe& recipe) {
  const bool is_exact = trained_block_size(recipe) == 1;
  return {is_exact ? "validation_nll" : "validation_nelbo", "nats/token", "lo", "of the training",
          is_exact ? "of rows it was not trained on" : "bound, of rows it was not trained on"};
}

}  // namespace dlm
