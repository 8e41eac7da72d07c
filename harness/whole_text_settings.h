// Settings of the samplers of models that see the whole text (Dream, LLaDA), as options of the
// block loop.
#pragma once

#include <memory>
#include <string>

#include "harness/base/spec.h"
#include "models/adjust_layer.h"
#include "models/factory.h"
#include "models/sampling/block_sampler.h"

namespace dlm {

// sampler.published makes a run do as a published program does, where that differs from what is
// right:
//   dream      the mask counts as a token (parameterization raw), the schedule is Dream's, top-k
//              comes after the nucleus.
//   llada      the mask counts as a token; above temperature 0, suppress_eos = last holds back the
//              end of a turn only (ML-GSAI/LLaDA issue 137).
//   fast_dllm  as dream or llada; with stale keys, Dream reveals the first token of a block alone,
//              and later passes begin at the block.
// "none": the mask is never drawn and has no probability, nor have ids that the tokenizer does not
// know; steps reveal K each.

// The spec's parameterization, "raw" where a published sampler is asked for and nothing else.
std::string effective_parameterization(const RunSpec& spec);

// The sampler where spec.sampler.name is "auto": first_hitting; of LLaDA low_confidence, of Dream
// entropy.
std::string default_block_sampler(const LoadedModel& loaded);

// The token that ends a turn of a chat with a model that sees the whole text ("<|eot_id|>" or
// "<|im_end|>"); -1 where the tokenizer has none, and for other models.
std::int64_t end_of_turn(const LoadedModel& loaded);

// What a sampler asks beside the model, alive while it samples.
struct SamplerHelpers {
  std::unique_ptr<AutoregressiveModel> verifier;
  std::unique_ptr<StepChoice> choice;
  std::unique_ptr<AdjustLayer> adjust;
};

// Loads what spec.sampler.verifier and .adjust name, for a sampler of the filter `filter`. Throws
// ConfigError for a verifier without a sampler that asks it or the reverse, and as the loaders do.
SamplerHelpers load_sampler_helpers(const RunSpec& spec, const LoadedModel& loaded,
                                    const TokenFilter& filter);

// The samplers rerank and verified rank positions by entropy.
void hook_sampler_helpers(const SamplerHelpers& helpers, BlockSampleOptions& options);

// What tells the helper in `folder` from another: the digest of its weights. Throws as the loaders.
std::string sampler_helper_sha256(const std::string& folder);

// Throws ConfigError where settings name helpers that the sampler `what` does not ask.
void refuse_sampler_helpers(const SamplerSpec& sampler, const std::string& what);

// Fills in the options that spec.sampler holds beyond those of every block sampler. Throws
// ConfigError where the model has no end-of-text token to suppress.
void add_whole_text_settings(const RunSpec& spec, const LoadedModel& loaded,
                             BlockSampleOptions& options);

}  // namespace dlm
