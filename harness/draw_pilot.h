// How many masks a run should draw for every block when it has a target interval: measured on its
// first documents.
#pragma once

#include <cstdint>
#include <span>

#include "models/denoiser.h"
#include "models/diffusion/estimator.h"
#include "tasks/windows.h"

namespace dlm {

struct DrawPilot {
  std::int64_t draws = 2;               // with the least total cost
  std::int64_t documents = 0;           // looked at
  std::int64_t expected_documents = 0;  // that the target will need
  bool reaches_target = true;           // with the documents there are
};

// Draws four independent masks for each block of the first 24 units and compares the variance
// between documents with that of the draws, and the cost of a clean pass with that of a draw
// (FLOPs; positions for models that count none). Its masks are not those of the run, so its choice
// does not depend on the run's error. At least 2 draws, so that the Monte-Carlo error is known;
// where the documents cannot reach the target, as many as bring its interval within 2.5 % of what
// they allow. A multiple of options.replicates where those are asked for. The same on every call.
// `target` is the relative half-width of the perplexity's 95 % interval. Throws ConfigError where
// the estimator draws no masks.
DrawPilot run_draw_pilot(const Denoiser& denoiser, std::span<const ScoringUnit> units,
                         const EstimatorOptions& options, double target);

}  // namespace dlm
