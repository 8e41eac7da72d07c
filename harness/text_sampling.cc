#include "harness/text_sampling.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <map>
#include <string_view>
#include <utility>

#include "harness/base/error.h"
#include "harness/whole_text_settings.h"
#include "models/analytic_sampler.h"
#include "models/dit.h"
#include "models/sampling/block_sampler.h"
#include "models/sampling/sliding_window.h"
#include "models/wrapped_denoiser.h"
#include "tasks/extractor.h"

namespace dlm {
namespace {

// First-hitting in windows that move on by half their length: masked diffusion beyond its length.
constexpr std::string_view kSlidingWindows = "semi_autoregressive";

constexpr std::string_view kAnalytic = "analytic";

// Replicates of one text's tries; those of different texts are below it.
constexpr std::uint64_t kReplicatesPerTry = std::uint64_t{1} << 32;

PastContext past_context(const SamplerSpec& sampler) {
  return sampler.past_context == "slide" ? PastContext::kSlide : PastContext::kStop;
}

// Whether the new tokens spell a stop string.
class StopStrings final : public TextStop {
 public:
  StopStrings(const Tokenizer& tokenizer, const std::vector<std::string>& strings)
      : tokenizer_(tokenizer), strings_(strings) {}

  bool is_over(std::span<const std::int64_t> fresh) const override {
    const std::string text = tokenizer_.decode(fresh);
    return cut_at_stops(text, strings_).size() < text.size();
  }

 private:
  const Tokenizer& tokenizer_;
  const std::vector<std::string>& strings_;
};

// A text's ending as the samplers take it.
struct Ending {
  const TextEnding& asked;
  const TextStop* text = nullptr;
};

GenerateOptions generate_options(const RunSpec& spec, const Ending& end) {
  const TextEnding& ending = end.asked;
  refuse_sampler_helpers(spec.sampler, "writing token by token");
  GenerateOptions options;
  options.max_new_tokens = ending.max_new_tokens;
  options.filter = token_filter(spec.sampler);
  options.stop_ids = ending.stop_ids;
  options.entropy_floor = spec.sampler.entropy_floor;
  options.text_stop = end.text;
  options.past_context = past_context(spec.sampler);
  options.cache = spec.sampler.cache ? CacheUse::kOn : CacheUse::kOff;
  options.batch_size = spec.batch_size;
  options.seed = spec.seed;
  return options;
}

BlockSampleOptions block_options(const RunSpec& spec, const LoadedModel& loaded,
                                 const Ending& end) {
  const TextEnding& ending = end.asked;
  const SamplerSpec& sampler = spec.sampler;
  BlockSampleOptions options;
  options.block_size = spec.block_size;
  options.max_new_tokens = ending.max_new_tokens;
  options.reveal = reveal_options(sampler, default_block_sampler(loaded));
  options.filter = token_filter(sampler);
  options.stop.stop_ids = ending.stop_ids;
  options.stop.entropy_floor = sampler.entropy_floor;
  options.stop.text = end.text;
  options.past_context = past_context(sampler);
  options.cache = sampler.cache ? ContextCache::kOn : ContextCache::kOff;
  options.batch_size = spec.batch_size;
  options.seed = spec.seed;
  add_whole_text_settings(spec, loaded, options);
  return options;
}

SampledText sampled(const BlockSample& out) {
  SampledText text;
  text.all = out.ids;
  const auto fresh = std::min(out.prompt_tokens, std::ssize(out.ids));
  text.fresh.assign(out.ids.begin() + fresh, out.ids.end());
  text.revealed_in.assign(out.revealed_in.begin() + fresh, out.revealed_in.end());
  text.finish = out.finish;
  text.nfe = out.nfe;
  text.refreshes = out.refreshes;
  text.canvas = out.canvas;
  if (std::isfinite(out.margin))
    text.margin = out.margin;
  return text;
}

// Texts that no token ends, each of its prompt's length and what it asks for. The network sees a
// text whole, so those of one length go together.
std::vector<BlockSample> analytic_samples(const RunSpec& spec, const LoadedModel& loaded,
                                          std::span<const Prompt> prompts,
                                          const TextEnding& ending) {
  const auto* model = dynamic_cast<const DitModel*>(&innermost(*loaded.denoiser));
  if (model == nullptr)
    throw ConfigError("sampler", spec.sampler.name, "another: the model gives no scores");
  AnalyticOptions options;
  options.noise = model->config().noise;
  options.steps = spec.sampler.steps > 0 ? spec.sampler.steps : options.steps;
  options.nucleus_p = spec.sampler.nucleus_p;
  options.nucleus_rule = parse_nucleus_rule(spec.sampler.nucleus_rule);
  options.batch_size = spec.batch_size;
  options.seed = spec.seed;
  // The longest first, so that what does not fit into memory fails at once.
  std::map<std::size_t, std::vector<std::size_t>, std::greater<>> places;
  for (std::size_t i = 0; i < prompts.size(); ++i) places[prompts[i].ids.size()].push_back(i);
  std::vector<BlockSample> texts(prompts.size());
  for (const auto& [length, alike] : places) {
    options.length = static_cast<std::int64_t>(length) + ending.max_new_tokens;
    std::vector<Prompt> part;
    for (const std::size_t i : alike) part.push_back(prompts[i]);
    std::vector<BlockSample> written = sample_analytic(*loaded.denoiser, part, options);
    for (std::size_t k = 0; k < alike.size(); ++k) texts[alike[k]] = std::move(written[k]);
  }
  return texts;
}

std::vector<SampledText> autoregressive_texts(const RunSpec& spec, const LoadedModel& loaded,
                                              std::span<const Prompt> prompts,
                                              const Ending& ending) {
  std::vector<SampledText> texts;
  auto outs = generate(*loaded.model, prompts, generate_options(spec, ending));
  for (std::size_t i = 0; i < outs.size(); ++i) {
    SampledText text;
    text.all = prompts[i].ids;
    text.all.insert(text.all.end(), outs[i].ids.begin(), outs[i].ids.end());
    text.fresh = std::move(outs[i].ids);
    text.finish = outs[i].finish;
    text.nfe = outs[i].nfe;
    text.canvas = outs[i].nfe;
    texts.push_back(std::move(text));
  }
  return texts;
}

// The next try of a rejected text; what the earlier ones cost stays counted.
void replace_try(SampledText& text, SampledText next) {
  next.nfe += text.nfe;
  next.refreshes += text.refreshes;
  next.canvas += text.canvas;
  if (text.margin)
    next.margin = std::min(*text.margin, next.margin.value_or(*text.margin));
  text = std::move(next);
}

}  // namespace

bool is_autoregressive(const RunSpec& spec, const LoadedModel& loaded) {
  const std::string& name = spec.sampler.name;
  if (name == "auto")
    return loaded.model != nullptr;
  if (name == "autoregressive" && loaded.model == nullptr)
    throw ConfigError("sampler", name, "a denoiser's; --block-size 1 goes from left to right");
  if (name != "autoregressive" && loaded.denoiser == nullptr)
    throw ConfigError("sampler", name, "autoregressive: the model is");
  return name == "autoregressive";
}

TokenFilter token_filter(const SamplerSpec& sampler) {
  const bool nucleus_first = sampler.filter_order == "nucleus_first";
  return {sampler.temperature, sampler.top_k, sampler.nucleus_p,
          parse_nucleus_rule(sampler.nucleus_rule),
          nucleus_first ? FilterOrder::kNucleusFirst : FilterOrder::kTopKFirst};
}

RevealOptions reveal_options(const SamplerSpec& sampler, const std::string& automatic) {
  std::string policy = sampler.name;
  if (policy == "auto")
    policy = automatic;
  else if (policy == kSlidingWindows)
    policy = "first_hitting";
  return {policy, sampler.tokens_per_step, sampler.steps, sampler.threshold};
}

std::vector<std::int64_t> stop_ids(const SamplerSpec& sampler, const LoadedModel& loaded) {
  if (sampler.stop_at == "length")
    return {};
  std::int64_t eos = loaded.info().eos_id;
  if (eos < 0 && loaded.tokenizer != nullptr)
    eos = loaded.tokenizer->eos_id().value_or(-1);
  if (eos >= 0) {
    std::vector<std::int64_t> ids = {eos};
    if (const std::int64_t turn = end_of_turn(loaded); turn >= 0 && turn != eos)
      ids.push_back(turn);
    return ids;
  }
  if (sampler.stop_at == "eos")
    throw ConfigError("stop_at", "eos",
                      "auto or length: neither the model nor a tokenizer has an end-of-text token");
  return {};
}

std::vector<std::int64_t> prompt_ids(const LoadedModel& loaded, const std::string& text) {
  if (loaded.tokenizer == nullptr) {
    if (!text.empty())
      throw ConfigError("prompt", text,
                        "token ids (--prompt-ids): there is no tokenizer; --tokenizer names one");
    return {};
  }
  const ModelInfo& info = loaded.info();
  TokenIds ids = loaded.tokenizer->encode(text);
  if (loaded.tokenizer->adds_bos()) {
    ids = loaded.tokenizer->with_special(std::move(ids));
  } else if (ids.empty()) {
    const std::int64_t bos = loaded.tokenizer->bos_id().value_or(info.bos_id);
    if (bos < 0)
      throw ConfigError("prompt", "", "this model has no BOS token; give a prompt");
    ids.push_back(bos);
  }
  return ids;
}

std::vector<std::int64_t> rendered_prompt_ids(const LoadedModel& loaded, const std::string& text) {
  if (loaded.tokenizer == nullptr)
    throw ConfigError("chat", "on", "a model with a tokenizer");
  return loaded.tokenizer->encode(text);
}

TextSampler::TextSampler(RunSpec spec, const LoadedModel& loaded)
    : spec_(std::move(spec)), loaded_(loaded) {
  if (is_autoregressive(spec_, loaded_) || spec_.sampler.name == kAnalytic) {
    refuse_sampler_helpers(spec_.sampler, "this sampler");
    return;
  }
  const TokenFilter filter = block_options(spec_, loaded_, {TextEnding()}).filter;
  helpers_ = std::make_unique<SamplerHelpers>(load_sampler_helpers(spec_, loaded_, filter));
}

TextSampler::~TextSampler() = default;

std::vector<SampledText> TextSampler::one_try(std::span<const Prompt> prompts,
                                              const TextEnding& asked) {
  std::optional<StopStrings> strings;
  if (!asked.stop_strings.empty()) {
    DLM_CHECK(loaded_.tokenizer != nullptr, "stop strings without a tokenizer");
    strings.emplace(*loaded_.tokenizer, asked.stop_strings);
  }
  const Ending ending{asked, strings ? &*strings : nullptr};
  if (is_autoregressive(spec_, loaded_))
    return autoregressive_texts(spec_, loaded_, prompts, ending);
  std::vector<BlockSample> outs;
  if (spec_.sampler.name == kAnalytic) {
    outs = analytic_samples(spec_, loaded_, prompts, asked);
  } else {
    BlockSampleOptions options = block_options(spec_, loaded_, ending);
    hook_sampler_helpers(*helpers_, options);
    outs = spec_.sampler.name == kSlidingWindows
               ? sample_sliding_windows(*loaded_.denoiser, prompts, options)
               : sample_blocks(*loaded_.denoiser, prompts, options);
  }
  std::vector<SampledText> texts;
  for (const BlockSample& out : outs) texts.push_back(sampled(out));
  return texts;
}

std::vector<SampledText> TextSampler::sample(std::span<const Prompt> prompts,
                                             const TextEnding& ending) {
  std::vector<SampledText> texts = one_try(prompts, ending);
  const std::int64_t restarts = spec_.sampler.entropy_restarts;
  for (std::int64_t tried = 0; restarts > 0; ++tried) {
    std::vector<std::size_t> places;
    std::vector<Prompt> again;
    for (std::size_t i = 0; i < texts.size(); ++i) {
      if (texts[i].finish != FinishReason::kEntropy)
        continue;
      places.push_back(i);
      again.push_back(prompts[i]);
      again.back().replicate += static_cast<std::uint64_t>(tried + 1) * kReplicatesPerTry;
    }
    if (places.empty())
      break;
    if (tried == restarts)
      throw Error(
          fmt::format("example {}: {} texts in a row fell below sampler.entropy_floor = {}; a "
                      "lower floor, more "
                      "sampler.entropy_restarts or another sampler may help",
                      again.front().example, restarts + 1, spec_.sampler.entropy_floor));
    std::vector<SampledText> next = one_try(again, ending);
    for (std::size_t k = 0; k < places.size(); ++k)
      replace_try(texts[places[k]], std::move(next[k]));
  }
  return texts;
}

void TextSampler::check(const TextEnding& ending) {
  if (is_autoregressive(spec_, loaded_)) {
    (void)generate(*loaded_.model, {}, generate_options(spec_, {ending}));
    return;
  }
  if (spec_.sampler.name == kAnalytic)
    return;  // its settings are checked as they are read
  BlockSampleOptions options = block_options(spec_, loaded_, {ending});
  hook_sampler_helpers(*helpers_, options);
  (void)make_reveal_policy(options.reveal);
  (void)sample_blocks(*loaded_.denoiser, {}, options);
}

std::vector<SampledText> sample_texts(const RunSpec& spec, const LoadedModel& loaded,
                                      std::span<const Prompt> prompts, const TextEnding& ending) {
  return TextSampler(spec, loaded).sample(prompts, ending);
}

PassCounts TextSampler::counts() const {
  PassCounts counts;
  if (loaded_.model != nullptr)
    counts += loaded_.model->counts();
  if (loaded_.denoiser != nullptr)
    counts += loaded_.denoiser->counts();
  if (helpers_ == nullptr || helpers_->verifier == nullptr)
    return counts;
  PassCounts verifier = helpers_->verifier->counts();
  verifier.passes = 0;
  return counts += verifier;
}

}  // namespace dlm
