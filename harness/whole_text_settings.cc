#include "harness/whole_text_settings.h"

#include <vector>

#include "harness/base/error.h"
#include "harness/data_root.h"
#include "harness/model_loading.h"
#include "models/adjust_layer.h"
#include "models/judged_choice.h"

namespace dlm {
namespace {

std::int64_t end_of_text(const LoadedModel& loaded) {
  const std::int64_t eos = loaded.info().eos_id;
  if (eos >= 0 || loaded.tokenizer == nullptr)
    return eos;
  return loaded.tokenizer->eos_id().value_or(-1);
}

void suppress_ends(const SamplerSpec& sampler, const LoadedModel& loaded,
                   BlockSampleOptions& options) {
  if (sampler.suppress_eos == "none")
    return;
  const std::int64_t eos = end_of_text(loaded);
  if (eos < 0)
    throw ConfigError("suppress_eos", sampler.suppress_eos,
                      "none: neither the model nor a tokenizer has an end-of-text token");
  if (sampler.suppress_eos == "never") {
    options.banned_ids.push_back(eos);
    return;
  }
  const bool published = sampler.published == "llada" && sampler.temperature > 0;
  if (!published)
    options.late_ids.push_back(eos);
  if (const std::int64_t turn = end_of_turn(loaded); turn >= 0 && turn != eos)
    options.late_ids.push_back(turn);
}

// Rows of the head beyond the tokenizer: never trained.
void ban_unused(const LoadedModel& loaded, BlockSampleOptions& options) {
  if (loaded.tokenizer == nullptr)
    return;
  for (std::int64_t id = loaded.tokenizer->id_limit(); id < loaded.info().vocab_size; ++id) {
    if (id != loaded.denoiser->mask_id())
      options.banned_ids.push_back(id);
  }
}

}  // namespace

std::string effective_parameterization(const RunSpec& spec) {
  const bool published = spec.sampler.published != "none";
  return published && spec.parameterization == "auto" ? "raw" : spec.parameterization;
}

std::string default_block_sampler(const LoadedModel& loaded) {
  if (loaded.denoiser == nullptr || !loaded.denoiser->sees_whole_text())
    return "first_hitting";
  return loaded.info().family == "llada" ? "low_confidence" : "entropy";
}

std::int64_t end_of_turn(const LoadedModel& loaded) {
  const bool whole = loaded.denoiser != nullptr && loaded.denoiser->sees_whole_text();
  if (loaded.tokenizer == nullptr || !whole)
    return -1;
  for (const char* name : {"<|eot_id|>", "<|im_end|>"}) {
    if (const auto id = loaded.tokenizer->token_id(name))
      return *id;
  }
  return -1;
}

SamplerHelpers add_sampler_helpers(const RunSpec& spec, const LoadedModel& loaded,
                                   BlockSampleOptions& options) {
  const SamplerSpec& sampler = spec.sampler;
  SamplerHelpers helpers;
  const bool asks = sampler.name == "rerank" || sampler.name == "verified";
  if (asks != !sampler.verifier.empty())
    throw ConfigError("verifier", sampler.verifier,
                      "a model folder with the samplers rerank and verified, nothing else");
  if (asks) {
    options.reveal.policy = "entropy";
    helpers.verifier = load_network(resolve_data_path(sampler.verifier), model_options(spec));
    JudgedChoiceOptions judged;
    judged.filter = options.filter;
    judged.seed = spec.seed;
    judged.mask_id = loaded.denoiser->mask_id();
    helpers.choice = sampler.name == "rerank" ? make_rerank_choice(*helpers.verifier, judged)
                                              : make_verified_choice(*helpers.verifier, judged);
    options.hooks.choice = helpers.choice.get();
  }
  if (!sampler.adjust.empty()) {
    const auto* base = dynamic_cast<const CanvasModel*>(loaded.denoiser.get());
    if (base == nullptr)
      throw ConfigError("adjust", sampler.adjust, "none: only Dream and LLaDA give hidden states");
    helpers.adjust = std::make_unique<AdjustLayer>(resolve_data_path(sampler.adjust), *base,
                                                   loaded.weights_sha256);
    options.hooks.refresh = helpers.adjust.get();
  }
  return helpers;
}

void add_whole_text_settings(const RunSpec& spec, const LoadedModel& loaded,
                             BlockSampleOptions& options) {
  const SamplerSpec& sampler = spec.sampler;
  const bool whole = loaded.denoiser->sees_whole_text();
  const bool dream = loaded.info().family == "dream";
  if (sampler.published != "none" && !whole)
    throw ConfigError("published", sampler.published, "none for this model");
  options.reveal.schedule = sampler.reveal_schedule;
  options.reveal.eps = sampler.eps;
  options.reveal.factor = sampler.factor;
  options.reveal.position_temperature = sampler.position_temperature;
  options.guidance = sampler.guidance;
  options.stale_keys = sampler.stale_keys == "prefix" ? StaleKeys::kPrefix
                       : sampler.stale_keys == "dual" ? StaleKeys::kDual
                                                      : StaleKeys::kNone;
  bool nucleus_first = sampler.filter_order == "nucleus_first";
  if (sampler.published != "none" && dream) {
    nucleus_first = true;
    const std::string& name = options.reveal.policy;
    if (name == "entropy" || name == "margin" || name == "maskgit_plus")
      options.reveal.schedule = "dream";
    if (options.stale_keys != StaleKeys::kNone) {
      options.reveal.first_alone = true;
      options.slice_start = SliceStart::kBlock;
    }
  }
  options.filter.order = nucleus_first ? FilterOrder::kNucleusFirst : FilterOrder::kTopKFirst;
  suppress_ends(sampler, loaded, options);
  if (whole && sampler.published == "none")
    ban_unused(loaded, options);
}

}  // namespace dlm
