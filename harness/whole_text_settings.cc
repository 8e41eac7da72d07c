#include "harness/whole_text_settings.h"

#include <vector>

#include "harness/base/error.h"
#include "harness/base/file.h"
#include "harness/base/log.h"
#include "harness/data_root.h"
#include "harness/model_loading.h"
#include "models/adjust_layer.h"
#include "models/checkpoint/checkpoint.h"
#include "models/judged_choice.h"
#include "models/shape_model.h"

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

std::string sampler_helper_sha256(const std::string& folder) {
  return is_shape(folder) ? sha256_hex(shape_adjust_name(folder))
                          : Checkpoint::open(resolve_data_path(folder)).weights_sha256();
}

void refuse_sampler_helpers(const SamplerSpec& sampler, const std::string& what) {
  const auto refuse = [&](const char* field, const std::string& folder) {
    if (!folder.empty())
      throw ConfigError(field, folder, fmt::format("none: {} does not ask it", what));
  };
  refuse("verifier", sampler.verifier);
  refuse("adjust", sampler.adjust);
}

SamplerHelpers load_sampler_helpers(const RunSpec& spec, const LoadedModel& loaded,
                                    const TokenFilter& filter) {
  const SamplerSpec& sampler = spec.sampler;
  SamplerHelpers helpers;
  const bool asks = sampler.name == "rerank" || sampler.name == "verified";
  if (asks != !sampler.verifier.empty())
    throw ConfigError("verifier", sampler.verifier,
                      "a model folder with the samplers rerank and verified, nothing else");
  if (asks) {
    helpers.verifier = load_network(resolve_data_path(sampler.verifier), model_options(spec));
    JudgedChoiceOptions judged;
    judged.filter = filter;
    judged.seed = spec.seed;
    judged.mask_id = loaded.denoiser->mask_id();
    helpers.choice = sampler.name == "rerank" ? make_rerank_choice(*helpers.verifier, judged)
                                              : make_verified_choice(*helpers.verifier, judged);
  }
  if (!sampler.adjust.empty()) {
    const BlockDenoiser& base = *loaded.denoiser;
    helpers.adjust =
        is_shape(sampler.adjust)
            ? std::make_unique<AdjustLayer>(
                  make_shape_adjust(sampler.adjust, hidden_model_of(base)), base)
            : load_adjust_layer(resolve_data_path(sampler.adjust), base, loaded.weights_sha256);
    const std::int64_t trained = helpers.adjust->config().trained_passes;
    if (trained > 0 && sampler.tokens_per_step > trained + 1)
      log_warning(fmt::format("the ADJUST layer was trained for {} tokens per step, not {}",
                              trained + 1, sampler.tokens_per_step));
  }
  return helpers;
}

void hook_sampler_helpers(const SamplerHelpers& helpers, BlockSampleOptions& options) {
  if (helpers.choice != nullptr) {
    options.reveal.policy = "entropy";
    options.hooks.choice = helpers.choice.get();
  }
  options.hooks.refresh = helpers.adjust.get();
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
