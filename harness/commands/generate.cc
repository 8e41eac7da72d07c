// `generate`: text from a model, one JSON object per prompt and sample, or plain text for a person.
#include <cstdio>
#include <iostream>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "harness/base/error.h"
#include "harness/base/file.h"
#include "harness/base/log.h"
#include "harness/base/text.h"
#include "harness/cli.h"
#include "harness/commands/command.h"
#include "harness/model_loading.h"
#include "models/runtime.h"
#include "models/sampling/autoregressive.h"

namespace dlm {
namespace {

constexpr const char* kText =
    "Continues prompts with an autoregressive model. Token s of sample r of prompt e is drawn with "
    "the random number\n"
    "(seed, e, r, s): the same at any batch size, with or without the cache.\n\n"
    "  dlmbench generate --model stories260K/ --temperature 0\n"
    "  dlmbench generate --model gpt2/ --prompt 'Once upon' --samples 4 --nucleus-p 0.9 -o jsonl\n"
    "  dlmbench generate --model gpt2/ --prompts prompts.jsonl --field text --max-new-tokens 64";

struct Request {
  std::vector<std::string> texts;  // prompts
  std::int64_t samples = 1;
};

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

std::vector<std::int64_t> prompt_ids(const LoadedModel& loaded, const std::string& text) {
  if (loaded.tokenizer == nullptr) {
    if (!text.empty())
      throw ConfigError("prompt", text, "an exact world has no text; leave it empty");
    return {};
  }
  const ModelInfo& info = loaded.model->info();
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

std::vector<Prompt> make_prompts(const LoadedModel& loaded, const Request& request) {
  std::vector<Prompt> prompts;
  for (std::size_t e = 0; e < request.texts.size(); ++e) {
    const auto ids = prompt_ids(loaded, request.texts[e]);
    for (std::int64_t r = 0; r < request.samples; ++r) {
      prompts.push_back({ids, e, static_cast<std::uint64_t>(r)});
    }
  }
  return prompts;
}

GenerateOptions generate_options(const RunSpec& spec, const LoadedModel& loaded, bool ignore_eos) {
  GenerateOptions options;
  options.max_new_tokens = spec.sampler.max_new_tokens;
  options.filter.temperature = spec.sampler.temperature;
  options.filter.top_k = spec.sampler.top_k;
  options.filter.nucleus_p = spec.sampler.nucleus_p;
  options.filter.nucleus_rule = parse_nucleus_rule(spec.sampler.nucleus_rule);
  options.cache = spec.sampler.cache ? CacheUse::kOn : CacheUse::kOff;
  options.batch_size = spec.batch_size;
  options.seed = spec.seed;
  const std::int64_t eos = loaded.model->info().eos_id;
  if (!ignore_eos && eos >= 0)
    options.stop_ids.push_back(eos);
  return options;
}

Json as_json(const LoadedModel& loaded, const Request& request, const Prompt& prompt,
             const Continuation& out) {
  Json object{{"prompt", request.texts[prompt.example]},
              {"example", prompt.example},
              {"sample", prompt.replicate},
              {"ids", out.ids},
              {"finish", finish_reason_name(out.finish)},
              {"nfe", out.nfe}};
  if (loaded.tokenizer != nullptr)
    object["text"] = loaded.tokenizer->decode(out.ids);
  return object;
}

// Prompt and continuation as one text: how a person reads it.
std::string as_text(const LoadedModel& loaded, const Prompt& prompt, const Continuation& out) {
  if (loaded.tokenizer == nullptr)
    return fmt::format("{}", fmt::join(out.ids, " "));
  std::vector<std::int64_t> all = prompt.ids;
  all.insert(all.end(), out.ids.begin(), out.ids.end());
  return loaded.tokenizer->decode(all, {.skip_special = true});
}

}  // namespace

int generate_command(const Arguments& args) {
  CommandOptions cli("generate --model M [--prompt TEXT]", kText);
  cli.value("prompt", "text to continue; may be given more than once (default: BOS alone)")
      .value("prompts", "JSON lines file of prompts")
      .value("field", "its field that holds the prompt (default prompt)")
      .value("samples", "continuations of each prompt (default 1)")
      .flag("ignore-eos", "go on after the end-of-text token")
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
  ModelCache cache;
  const LoadedModel& loaded = cache.load(spec);
  const auto prompts = make_prompts(loaded, request);
  const auto outs =
      generate(*loaded.model, prompts, generate_options(spec, loaded, options->has("ignore-eos")));
  std::int64_t tokens = 0;
  for (std::size_t i = 0; i < outs.size(); ++i) {
    const std::string line = format == "jsonl"
                                 ? canonical_json(as_json(loaded, request, prompts[i], outs[i]))
                                 : as_text(loaded, prompts[i], outs[i]);
    fmt::print("{}\n", line);
    tokens += static_cast<std::int64_t>(outs[i].ids.size());
  }
  const PassCounts counts = loaded.model->counts();
  log_info("{} tokens in {} passes ({:.3g} GFLOP)", tokens, counts.passes, counts.flops / 1e9);
  return kExitOk;
}

}  // namespace dlm
