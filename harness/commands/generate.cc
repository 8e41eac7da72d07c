// `generate`: text from a model, one JSON object per prompt and sample, or plain text for a person.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include "harness/base/error.h"
#include "harness/base/file.h"
#include "harness/base/log.h"
#include "harness/base/text.h"
#include "harness/cli.h"
#include "harness/commands/command.h"
#include "harness/data_root.h"
#include "harness/model_loading.h"
#include "harness/whole_text_settings.h"
#include "models/analytic_sampler.h"
#include "models/runtime.h"
#include "models/sampling/autoregressive.h"
#include "models/sampling/block_sampler.h"
#include "models/sampling/sliding_window.h"
#include "tasks/chat_template.h"
#include "tasks/task.h"

namespace dlm {
namespace {

constexpr const char* kText =
    "Continues prompts: token by token with an autoregressive model, block by block with a "
    "denoiser. Sample r of prompt e\n"
    "draws its numbers from (seed, e, r): the same text at any batch size, with or without the "
    "cache.\n\n"
    "  dlmbench generate --model stories260K/ --temperature 0\n"
    "  dlmbench generate --model gpt2/ --prompt 'Once upon' --samples 4 --nucleus-p 0.9 -o jsonl\n"
    "  dlmbench generate --model gpt2/ --prompts prompts.jsonl --field text --max-new-tokens 64\n"
    "  dlmbench generate --model bd3lm-owt-block_size4/ --nucleus-p 0.9 --nucleus-rule drop\n"
    "  dlmbench generate --model bd3lm-owt-block_size16/ --sampler entropy --tokens-per-step 4\n"
    "  dlmbench generate --model exact:markov --sampler ancestral --steps 8 --block-size 4";

// First-hitting in windows that move on by half their length: masked diffusion beyond its length.
constexpr std::string_view kSlidingWindows = "semi_autoregressive";

struct Request {
  std::vector<std::string> texts;                // prompts
  std::optional<std::vector<std::int64_t>> ids;  // one prompt, given as ids
  std::int64_t samples = 1;
  bool is_rendered = false;  // texts hold their special tokens
};

std::vector<std::int64_t> parse_ids(const std::string& list) {
  std::vector<std::int64_t> ids;
  for (const std::string& text : split(list, ',')) {
    const auto id = parse_int(text);
    if (!id)
      throw ConfigError("prompt-ids", text, "whole numbers separated by commas");
    ids.push_back(*id);
  }
  return ids;
}

std::vector<std::string> read_prompts(const std::string& path, const std::string& field) {
  std::vector<std::string> texts;
  const auto file = MappedFile::open(path);
  std::int64_t number = 0;
  for (const std::string& line : split(file->text(), '\n')) {
    ++number;
    if (line.empty())
      continue;
    const std::string where = fmt::format("{} line {}", path, number);
    texts.push_back(json_string(parse_json(line, where), field.c_str(), where));
  }
  if (texts.empty())
    throw DataError(path, -1, "at least one prompt", "none");
  return texts;
}

Request read_request(const ParsedOptions& options) {
  Request request;
  request.texts = options.all("prompt");
  if (options.has("prompts")) {
    const auto more = read_prompts(options.get("prompts", ""), options.get("field", "prompt"));
    request.texts.insert(request.texts.end(), more.begin(), more.end());
  }
  if (options.has("prompt-ids")) {
    if (!request.texts.empty())
      throw ConfigError("prompt-ids", options.get("prompt-ids", ""), "no text beside them");
    request.ids = parse_ids(options.get("prompt-ids", ""));
  }
  if (request.texts.empty())
    request.texts.emplace_back();  // one empty prompt
  const auto samples = parse_int(options.get("samples", "1"));
  if (!samples || *samples < 1) {
    throw ConfigError("samples", options.get("samples", ""),
                      "must be a whole number of at least 1");
  }
  request.samples = *samples;
  return request;
}

// The template of the tokenizer's folder, where --chat asks for it; before a model is loaded.
std::optional<ChatTemplate> chat_template(const ParsedOptions& options, const RunSpec& spec,
                                          const Request& request) {
  if (!options.has("chat")) {
    if (options.has("system"))
      throw ConfigError("system", options.get("system", ""), "--chat beside it");
    return {};
  }
  if (request.ids)
    throw ConfigError("chat", "on", "off for a prompt given as ids");
  return ChatTemplate::from_folder(
      resolve_data_path(spec.tokenizer.empty() ? spec.model : spec.tokenizer));
}

Request as_chat(const ChatTemplate& chat, const ParsedOptions& options, Request request) {
  for (std::string& text : request.texts) {
    std::vector<ChatMessage> messages;
    if (options.has("system"))
      messages.push_back({"system", options.get("system", "")});
    messages.push_back({"user", text});
    text = chat.render(messages, ChatTemplate::Generation::kPrompt);
  }
  request.is_rendered = true;
  return request;
}

// Which sampler: the one asked for, or what the model is made for.
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

// `is_rendered`: by a chat template, which writes the special tokens itself.
std::vector<std::int64_t> prompt_ids(const LoadedModel& loaded, const std::string& text,
                                     bool is_rendered) {
  if (loaded.tokenizer == nullptr) {
    if (!text.empty())
      throw ConfigError("prompt", text,
                        "token ids (--prompt-ids): there is no tokenizer; --tokenizer names one");
    return {};
  }
  const ModelInfo& info = loaded.info();
  TokenIds ids = loaded.tokenizer->encode(text);
  if (is_rendered)
    return ids;
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

std::vector<Prompt> make_prompts(const LoadedModel& loaded, const Request& request) {
  std::vector<Prompt> prompts;
  for (std::size_t e = 0; e < request.texts.size(); ++e) {
    const auto ids =
        request.ids ? *request.ids : prompt_ids(loaded, request.texts[e], request.is_rendered);
    for (std::int64_t r = 0; r < request.samples; ++r) {
      prompts.push_back({ids, e, static_cast<std::uint64_t>(r)});
    }
  }
  return prompts;
}

PassCounts counts_of(const LoadedModel& loaded) {
  PassCounts counts;
  if (loaded.model != nullptr)
    counts += loaded.model->counts();
  if (loaded.denoiser != nullptr)
    counts += loaded.denoiser->counts();
  return counts;
}

TokenFilter filter_of(const SamplerSpec& sampler) {
  return {sampler.temperature, sampler.top_k, sampler.nucleus_p,
          parse_nucleus_rule(sampler.nucleus_rule)};
}

std::vector<std::int64_t> stop_ids(const RunSpec& spec, const LoadedModel& loaded,
                                   bool ignore_eos) {
  if (ignore_eos || spec.sampler.stop_at == "length")
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
  if (spec.sampler.stop_at == "eos")
    throw ConfigError("stop_at", "eos",
                      "auto or length: neither the model nor a tokenizer has an end-of-text token");
  return {};
}

GenerateOptions generate_options(const RunSpec& spec) {
  GenerateOptions options;
  options.max_new_tokens = spec.sampler.max_new_tokens;
  options.filter = filter_of(spec.sampler);
  options.cache = spec.sampler.cache ? CacheUse::kOn : CacheUse::kOff;
  options.batch_size = spec.batch_size;
  options.seed = spec.seed;
  return options;
}

BlockSampleOptions block_options(const RunSpec& spec, const LoadedModel& loaded) {
  const SamplerSpec& sampler = spec.sampler;
  BlockSampleOptions options;
  options.block_size = spec.block_size;
  options.max_new_tokens = sampler.max_new_tokens;
  std::string policy = sampler.name;
  if (policy == "auto")
    policy = default_block_sampler(loaded);
  else if (policy == kSlidingWindows)
    policy = "first_hitting";
  options.reveal = {policy, sampler.tokens_per_step, sampler.steps, sampler.threshold};
  options.filter = filter_of(sampler);
  options.stop.entropy_floor = sampler.entropy_floor;
  options.past_context = sampler.past_context == "slide" ? PastContext::kSlide : PastContext::kStop;
  options.cache = sampler.cache ? ContextCache::kOn : ContextCache::kOff;
  options.batch_size = spec.batch_size;
  options.seed = spec.seed;
  add_whole_text_settings(spec, loaded, options);
  return options;
}

// A prompt's text as it is written out.
struct Written {
  std::vector<std::int64_t> all;  // prompt, its hidden tokens filled in, and new tokens
  std::vector<std::int64_t> fresh;
  FinishReason finish = FinishReason::kLength;
  std::int64_t nfe = 0;
  std::optional<double> margin;
};

Written written(const BlockSample& out) {
  std::optional<double> margin;
  if (std::isfinite(out.margin))
    margin = out.margin;
  const auto begin = out.ids.begin() + std::min(out.prompt_tokens, std::ssize(out.ids));
  return {out.ids, {begin, out.ids.end()}, out.finish, out.nfe, margin};
}

// Texts of one length, which no token ends: that of the longest prompt and what it asks for.
std::vector<BlockSample> analytic_samples(const RunSpec& spec, const LoadedModel& loaded,
                                          std::span<const Prompt> prompts) {
  const auto* model = dynamic_cast<const DitModel*>(loaded.denoiser.get());
  if (model == nullptr)
    throw ConfigError("sampler", spec.sampler.name, "another: the model gives no scores");
  AnalyticOptions options;
  options.steps = spec.sampler.steps > 0 ? spec.sampler.steps : options.steps;
  options.nucleus_p = spec.sampler.nucleus_p;
  options.nucleus_rule = parse_nucleus_rule(spec.sampler.nucleus_rule);
  options.batch_size = spec.batch_size;
  options.seed = spec.seed;
  std::size_t longest = 0;
  for (const Prompt& prompt : prompts) longest = std::max(longest, prompt.ids.size());
  options.length = static_cast<std::int64_t>(longest) + spec.sampler.max_new_tokens;
  return sample_analytic(*model, prompts, options);
}

std::vector<Written> write_texts(const RunSpec& spec, const LoadedModel& loaded,
                                 std::span<const Prompt> prompts,
                                 const std::vector<std::int64_t>& stops) {
  std::vector<Written> texts;
  if (is_autoregressive(spec, loaded)) {
    GenerateOptions options = generate_options(spec);
    options.stop_ids = stops;
    const auto outs = generate(*loaded.model, prompts, options);
    for (std::size_t i = 0; i < outs.size(); ++i) {
      Written text{prompts[i].ids, outs[i].ids, outs[i].finish, outs[i].nfe, {}};
      text.all.insert(text.all.end(), outs[i].ids.begin(), outs[i].ids.end());
      texts.push_back(std::move(text));
    }
    return texts;
  }
  if (spec.sampler.name == "analytic") {
    for (const BlockSample& out : analytic_samples(spec, loaded, prompts))
      texts.push_back(written(out));
    return texts;
  }
  BlockSampleOptions options = block_options(spec, loaded);
  options.stop.stop_ids = stops;
  const SamplerHelpers helpers = add_sampler_helpers(spec, loaded, options);
  const bool windows = spec.sampler.name == kSlidingWindows;
  const auto samples = windows ? sample_sliding_windows(*loaded.denoiser, prompts, options)
                               : sample_blocks(*loaded.denoiser, prompts, options);
  for (const BlockSample& out : samples) texts.push_back(written(out));
  return texts;
}

Json as_json(const LoadedModel& loaded, const Request& request, const Prompt& prompt,
             const Written& out) {
  Json object{{"prompt", request.texts[prompt.example]},
              {"example", prompt.example},
              {"sample", prompt.replicate},
              {"ids", out.fresh},
              {"finish", finish_reason_name(out.finish)},
              {"nfe", out.nfe}};
  if (out.margin)
    object["margin"] = *out.margin;
  if (loaded.tokenizer != nullptr)
    object["text"] = loaded.tokenizer->decode(out.fresh);
  return object;
}

// Prompt and continuation as one text: how a person reads it.
std::string as_text(const LoadedModel& loaded, const Written& out) {
  if (loaded.tokenizer == nullptr)
    return fmt::format("{}", fmt::join(out.fresh, " "));
  return loaded.tokenizer->decode(out.all, {.skip_special = true});
}

}  // namespace

int generate_command(const Arguments& args) {
  CommandOptions cli("generate --model M [--prompt TEXT]", kText);
  cli.value("prompt", "text to continue; may be given more than once (default: BOS alone)")
      .value("prompts", "JSON lines file of prompts")
      .value("field", "its field that holds the prompt (default prompt)")
      .value("prompt-ids", "one prompt as token ids separated by commas; the mask id is filled in")
      .value("samples", "continuations of each prompt (default 1)")
      .flag("ignore-eos", "go on after the end-of-text token")
      .flag("chat", "each prompt is a user's turn, through the chat template of the model's folder")
      .value("system", "with --chat: the system's turn before it")
      .value("output,o", "text (default) or jsonl")
      .fields(SpecPart::kGenerate);
  const auto options = cli.parse(args);
  if (!options)
    return kExitOk;
  const std::string format = options->get("output", "text");
  if (format != "text" && format != "jsonl")
    throw ConfigError("output", format, "must be text or jsonl");
  const RunSpec spec = spec_from(*options);
  set_threads(spec.threads);
  const Request request = read_request(*options);
  const std::optional<ChatTemplate> chat = chat_template(*options, spec, request);
  ModelCache cache;
  const bool names_base = !spec.sampler.adjust.empty();
  const LoadedModel& loaded =
      cache.load(spec, names_base ? WeightsHash::kTake : WeightsHash::kSkip);
  const auto prompts = make_prompts(loaded, chat ? as_chat(*chat, *options, request) : request);
  const PassCounts before = counts_of(loaded);
  const auto outs =
      write_texts(spec, loaded, prompts, stop_ids(spec, loaded, options->has("ignore-eos")));
  std::int64_t tokens = 0;
  for (std::size_t i = 0; i < outs.size(); ++i) {
    const std::string line = format == "jsonl"
                                 ? canonical_json(as_json(loaded, request, prompts[i], outs[i]))
                                 : as_text(loaded, outs[i]);
    fmt::print("{}\n", line);
    tokens += std::ssize(outs[i].fresh);
  }
  const PassCounts counts = counts_of(loaded) - before;
  log_info("{} tokens in {} passes ({:.3g} GFLOP); model opened in {:.2f} s", tokens, counts.passes,
           counts.flops / 1e9, cache.last_load_seconds());
  return kExitOk;
}

}  // namespace dlm
