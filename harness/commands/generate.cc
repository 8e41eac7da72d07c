// `generate`: text from a model, one JSON object per prompt and sample, or plain text for a person.
#include <cstdio>
#include <optional>
#include <string>
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
#include "harness/read_settings.h"
#include "harness/text_sampling.h"
#include "models/runtime.h"
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

std::vector<Prompt> make_prompts(const LoadedModel& loaded, const Request& request) {
  std::vector<Prompt> prompts;
  for (std::size_t e = 0; e < request.texts.size(); ++e) {
    const std::string& text = request.texts[e];
    const auto ids = request.ids           ? *request.ids
                     : request.is_rendered ? rendered_prompt_ids(loaded, text)
                                           : prompt_ids(loaded, text);
    for (std::int64_t r = 0; r < request.samples; ++r) {
      prompts.push_back({ids, e, static_cast<std::uint64_t>(r)});
    }
  }
  return prompts;
}

TextEnding ending_of(const ParsedOptions& options, const RunSpec& spec, const LoadedModel& loaded) {
  TextEnding ending;
  if (spec.sampler.max_new_tokens > 0)
    ending.max_new_tokens = spec.sampler.max_new_tokens;
  if (!options.has("ignore-eos"))
    ending.stop_ids = stop_ids(spec.sampler, loaded);
  return ending;
}

Json as_json(const LoadedModel& loaded, const Request& request, const Prompt& prompt,
             const SampledText& out) {
  Json object{{"prompt", request.texts[prompt.example]},
              {"example", prompt.example},
              {"sample", prompt.replicate},
              {"ids", out.fresh},
              {"finish", finish_reason_name(out.finish)},
              {"nfe", out.nfe}};
  if (out.refreshes > 0)
    object["layer_passes"] = out.refreshes;
  if (out.margin)
    object["margin"] = *out.margin;
  if (loaded.tokenizer != nullptr)
    object["text"] = loaded.tokenizer->decode(out.fresh);
  return object;
}

// Prompt and continuation as one text: how a person reads it.
std::string as_text(const LoadedModel& loaded, const SampledText& out) {
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
  check_settings(spec, loaded, SpecPart::kGenerate);
  const auto prompts = make_prompts(loaded, chat ? as_chat(*chat, *options, request) : request);
  TextSampler sampler(spec, loaded);
  const PassCounts before = sampler.counts();
  const auto outs = sampler.sample(prompts, ending_of(*options, spec, loaded));
  std::int64_t tokens = 0, cut = 0;
  for (std::size_t i = 0; i < outs.size(); ++i) {
    const std::string line = format == "jsonl"
                                 ? canonical_json(as_json(loaded, request, prompts[i], outs[i]))
                                 : as_text(loaded, outs[i]);
    fmt::print("{}\n", line);
    tokens += std::ssize(outs[i].fresh);
    cut += outs[i].finish == FinishReason::kContext ? 1 : 0;
  }
  if (cut > 0)
    log_info("{} of {} texts stopped at the model's length, {}; --past-context slide goes on", cut,
             outs.size(), loaded.info().max_length);
  const PassCounts counts = sampler.counts() - before;
  log_info("{} tokens in {} passes ({:.3g} GFLOP); model opened in {:.2f} s", tokens, counts.passes,
           counts.flops / 1e9, cache.last_load_seconds());
  return kExitOk;
}

}  // namespace dlm
