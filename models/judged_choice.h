// Baselines of parallel decoding that ask an autoregressive model what a step may reveal.
#pragma once

#include <cstdint>
#include <memory>

#include "models/language_model.h"
#include "models/sampling/block_sampler.h"
#include "models/sampling/token_filter.h"

namespace dlm {

struct JudgedChoiceOptions {
  TokenFilter filter = {};  // of the sampler
  std::uint64_t seed = 1;
  std::int64_t candidates = 2;  // rerank: fills drawn at each step
  double judge_share = 0.5;     // verify: of the judge's log-probabilities in the mixture
  std::int64_t mask_id = 0;
};

// Fills every hidden token of the block `candidates` times from the step's laws, independently, and
// commits, from the fill whose text to the end of the block has the least mean NLL under the judge
// (the first of equals), the tokens of the positions that the policy ranks first. Source: the EBM
// baseline of arXiv:2509.22738.
std::unique_ptr<StepChoice> make_rerank_choice(const AutoregressiveModel& judge,
                                               const JudgedChoiceOptions& options);

// Fills every hidden token once with Gumbel noise that is the text's own (position and token),
// draws them anew with the same noise from (1 - share) log p + share (judge's log p given the
// filled text before), and commits from the left while both agree; the first hidden position
// always, as drawn anew. Temperature 0: without noise. Filters other than the temperature are not
// read. Source: the adaptive baseline of arXiv:2509.22738 (AR-verified).
std::unique_ptr<StepChoice> make_verified_choice(const AutoregressiveModel& judge,
                                                 const JudgedChoiceOptions& options);

}  // namespace dlm
