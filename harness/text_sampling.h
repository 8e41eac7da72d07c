// Text from any model by a run's sampler settings: the one place where settings become the options
// of a sampler. `generate` prints what comes back, a generating run stores and measures it.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "harness/base/spec.h"
#include "models/factory.h"
#include "models/sampling/autoregressive.h"
#include "models/sampling/reveal_policy.h"
#include "models/sampling/token_filter.h"

namespace dlm {

// A prompt's text, and what it cost.
struct SampledText {
  std::vector<std::int64_t> all;    // prompt, its hidden tokens filled in, and new tokens
  std::vector<std::int64_t> fresh;  // new tokens; a stop id is the last of them
  FinishReason finish = FinishReason::kLength;
  std::int64_t nfe = 0;          // passes this text took part in, those of rejected tries included
  std::int64_t refreshes = 0;    // passes of an ADJUST layer, the same; no part of nfe
  std::int64_t canvas = 0;       // tokens drawn, the same; those after the end included
  std::optional<double> margin;  // of the closest decision (BlockSample::margin), where recorded
  std::vector<std::int64_t> revealed_in;  // of each of `fresh` (BlockSample); empty: token by token
};

// Where a text ends.
struct TextEnding {
  std::int64_t max_new_tokens = kDefaultNewTokens;
  std::vector<std::int64_t> stop_ids = {};
  std::vector<std::string> stop_strings = {};  // over at the first; it stays in the text
};

// Whether the text is written token by token: as asked, else what the model is made for. Throws
// ConfigError for a sampler that the model does not have.
bool is_autoregressive(const RunSpec& spec, const LoadedModel& loaded);

TokenFilter token_filter(const SamplerSpec& sampler);

// What a step reveals, by the settings that all block samplers have; `automatic` is the sampler
// where the name is "auto".
RevealOptions reveal_options(const SamplerSpec& sampler,
                             const std::string& automatic = "first_hitting");

// The end-of-text token where the settings stop at one. Throws ConfigError where they ask for it
// and there is none.
std::vector<std::int64_t> stop_ids(const SamplerSpec& sampler, const LoadedModel& loaded);

// A text as a prompt of the model: BOS first where its tokenizer adds one, BOS alone for an empty
// text (nothing without a tokenizer). Throws ConfigError for text without a tokenizer, and for an
// empty one where there is no BOS.
std::vector<std::int64_t> prompt_ids(const LoadedModel& loaded, const std::string& text);

// The same for text that a chat template has rendered, with its special tokens spelled out.
std::vector<std::int64_t> rendered_prompt_ids(const LoadedModel& loaded, const std::string& text);

struct SamplerHelpers;

// A run's sampler. What it asks beside the model (a verifier, an ADJUST layer) is loaded once, when
// it is made.
class TextSampler {
 public:
  // `loaded` must outlive it. Throws ConfigError for settings that the model does not take, and as
  // the loaders of helpers do.
  TextSampler(RunSpec spec, const LoadedModel& loaded);
  ~TextSampler();
  TextSampler(const TextSampler&) = delete;
  TextSampler& operator=(const TextSampler&) = delete;

  // Continues every prompt; result[i] belongs to prompts[i]. A text that falls below
  // sampler.entropy_floor is begun anew sampler.entropy_restarts times, with the draws of replicate
  // + try * 2^32. Throws ConfigError for settings that the model does not take; Error for a text
  // that was rejected at every try.
  std::vector<SampledText> sample(std::span<const Prompt> prompts, const TextEnding& ending);

  // Throws ConfigError for settings that sample would refuse whatever the prompts are.
  void check(const TextEnding& ending);

  // All that has been counted so far on the model, in either of its forms, and on what the sampler
  // asks beside it. Passes are the model's alone: a text's nfe are of them.
  PassCounts counts() const;

 private:
  std::vector<SampledText> one_try(std::span<const Prompt> prompts, const TextEnding& ending);

  RunSpec spec_;
  const LoadedModel& loaded_;
  std::unique_ptr<SamplerHelpers> helpers_;  // null for samplers that ask none
};

// The same for one call.
std::vector<SampledText> sample_texts(const RunSpec& spec, const LoadedModel& loaded,
                                      std::span<const Prompt> prompts, const TextEnding& ending);

}  // namespace dlm
