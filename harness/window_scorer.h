// How a batch of windows is scored: by one autoregressive pass, or by an estimator of a diffusion
// likelihood. What the loop over batches needs to know of a model.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "models/denoiser.h"
#include "models/diffusion/estimator.h"
#include "models/language_model.h"
#include "tasks/windows.h"

namespace dlm {

// A window and its number among all windows of the plan, which names its random draws.
struct WindowJob {
  const ScoringWindow* window = nullptr;
  std::uint64_t example = 0;
};

struct WindowScore {
  double nll = 0;         // nats over scored tokens, the mean of the replicates
  double nll_m2 = 0;      // summed squared deviations of the replicates
  std::int64_t n_mc = 0;  // independent replicates; 0 = exact
  std::int64_t tokens = 0;
  std::int64_t passes = 0;  // NFE of this window
  std::int64_t head_rows = 0;
};

class WindowScorer {
 public:
  virtual ~WindowScorer() = default;

  // Each window's score does not depend on its company. Throws as the model does.
  virtual std::vector<WindowScore> score(std::span<const WindowJob> jobs) const = 0;

  // NFE of a window.
  virtual std::int64_t passes(const ScoringWindow& window) const = 0;

  virtual PassCounts counts() const = 0;
};

// The model must outlive it, here and below.
std::unique_ptr<WindowScorer> make_autoregressive_scorer(const LanguageModel& model);

// NFE of a window: the clean pass, where there is clean context, and the masks drawn for a block.
// Throws ConfigError for options that do not fit.
std::unique_ptr<WindowScorer> make_diffusion_scorer(const Denoiser& denoiser,
                                                    const EstimatorOptions& options);

// Throws ConfigError where a unit cannot be scored block by block: a window with more context than
// one token, a length that L' does not divide, an id outside the vocabulary, or the mask's; and
// where `enumerate` would meet a block of too many masks.
void check_block_windows(std::span<const ScoringUnit> units, const EstimatorOptions& options,
                         const Denoiser& denoiser);

}  // namespace dlm
