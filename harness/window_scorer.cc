#include "harness/window_scorer.h"

#include <numeric>

#include "harness/base/error.h"
#include "harness/estimator_settings.h"
#include "models/diffusion/enumerate.h"

namespace dlm {
namespace {

std::int64_t scored_tokens(const ScoringWindow& window) {
  return std::ssize(window.ids) - window.first_scored;
}

// Of the largest block of a sequence: its only one has no mask on a first token that is given.
std::int64_t most_maskable(std::int64_t length, const EstimatorOptions& options) {
  const std::int64_t block = options.block_size == 0 ? length : options.block_size;
  return block == length && options.first_token == "clean" ? block - 1 : block;
}

class AutoregressiveScorer : public WindowScorer {
 public:
  explicit AutoregressiveScorer(const LanguageModel& model) : model_(model) {}

  std::vector<WindowScore> score(std::span<const WindowJob> jobs) const override {
    std::vector<ScoringWindow> windows;
    for (const WindowJob& job : jobs) windows.push_back(*job.window);
    const auto nll = model_.token_nll(windows);
    std::vector<WindowScore> scores(jobs.size());
    for (std::size_t i = 0; i < jobs.size(); ++i) {
      scores[i].nll = std::accumulate(nll[i].begin(), nll[i].end(), 0.0);
      scores[i].tokens = scored_tokens(windows[i]);
      scores[i].passes = passes(windows[i]);
      scores[i].head_rows = scores[i].tokens;
    }
    return scores;
  }

  std::int64_t passes(const ScoringWindow&) const override { return 1; }

  PassCounts counts() const override { return model_.counts(); }

 private:
  const LanguageModel& model_;
};

class DiffusionScorer : public WindowScorer {
 public:
  DiffusionScorer(const Denoiser& denoiser, const EstimatorOptions& options)
      : denoiser_(denoiser),
        options_(options),
        estimator_(make_estimator(options, denoiser.loss())),
        is_exact_(draws_are_alike(options)) {}

  std::vector<WindowScore> score(std::span<const WindowJob> jobs) const override {
    std::vector<std::vector<std::int64_t>> sequences;
    std::vector<std::uint64_t> examples;
    for (const WindowJob& job : jobs) {
      sequences.push_back(job.window->ids);
      examples.push_back(job.example);
    }
    const LikelihoodEstimates estimates =
        estimate_likelihood(denoiser_, sequences, examples, options_);
    std::vector<WindowScore> scores;
    for (std::size_t i = 0; i < jobs.size(); ++i)
      scores.push_back(score_of(estimates.sequences[i], *jobs[i].window));
    return scores;
  }

  std::int64_t passes(const ScoringWindow& window) const override {
    const std::int64_t length = std::ssize(window.ids);
    const std::int64_t block = options_.block_size == 0 ? length : options_.block_size;
    return estimator_->passes(most_maskable(length, options_)) + (length > block ? 1 : 0);
  }

  PassCounts counts() const override { return denoiser_.counts(); }

 private:
  WindowScore score_of(const SequenceEstimate& estimate, const ScoringWindow& window) const {
    WindowScore score;
    score.nll = estimate.nats;
    score.tokens = estimate.tokens;
    score.passes = passes(window);
    score.head_rows = estimate.masked;
    if (!is_exact_) {
      score.nll_m2 = estimate.m2;
      score.n_mc = estimate.n_mc;
    }
    return score;
  }

  const Denoiser& denoiser_;
  EstimatorOptions options_;
  std::unique_ptr<Estimator> estimator_;
  bool is_exact_;  // draws differ by rounding alone
};

void check_ids(std::span<const std::int64_t> ids, const std::string& unit,
               const Denoiser& denoiser) {
  for (std::size_t i = 0; i < ids.size(); ++i) {
    const bool is_mask = ids[i] == denoiser.mask_id();
    if (!is_mask && ids[i] >= 0 && ids[i] < denoiser.info().vocab_size)
      continue;
    const std::string field = fmt::format("token {} of unit {}", i, unit);
    throw ConfigError(field, std::to_string(ids[i]),
                      is_mask ? "another token than the mask"
                              : fmt::format("from 0 to {}, the model's vocabulary",
                                            denoiser.info().vocab_size - 1));
  }
}

}  // namespace

std::unique_ptr<WindowScorer> make_autoregressive_scorer(const LanguageModel& model) {
  return std::make_unique<AutoregressiveScorer>(model);
}

std::unique_ptr<WindowScorer> make_diffusion_scorer(const Denoiser& denoiser,
                                                    const EstimatorOptions& options) {
  return std::make_unique<DiffusionScorer>(denoiser, options);
}

void check_block_windows(std::span<const ScoringUnit> units, const EstimatorOptions& options,
                         const Denoiser& denoiser) {
  const std::int64_t first = options.first_token == "scored" ? 0 : 1;
  for (const ScoringUnit& unit : units) {
    for (const ScoringWindow& window : unit.windows) {
      const std::int64_t length = std::ssize(window.ids);
      if (window.first_scored != first)
        throw ConfigError("scoring.packing", fmt::format("unit {} begins with context", unit.id),
                          "packed, or documents no longer than scoring.length: a diffusion model "
                          "scores whole sequences");
      if (options.block_size > 0 && length % options.block_size != 0)
        throw ConfigError("block_size", std::to_string(options.block_size),
                          fmt::format("a divisor of {}, the length of unit {}; scoring.packing = "
                                      "packed with a scoring.length that is a multiple of L' makes "
                                      "all lengths fit",
                                      length, unit.id));
      if (options.name == "enumerate")
        check_enumerated(most_maskable(length, options));
      check_ids(window.ids, unit.id, denoiser);
    }
  }
}

}  // namespace dlm
