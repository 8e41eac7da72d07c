#include "harness/free_text_task.h"

#include <algorithm>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include "harness/base/error.h"
#include "harness/base/file.h"
#include "harness/base/stats.h"
#include "harness/base/text.h"
#include "harness/text_quality.h"

namespace dlm {
namespace {

constexpr std::string_view kPrefix = "samples:";
constexpr std::int64_t kMostTokens = std::int64_t{1} << 32;
const std::vector<std::string> kKeys{"documents", "length", "prompt", "prompt_ids"};

struct FreeText {
  std::int64_t documents = 64;
  std::optional<std::int64_t> length;
  std::string prompt;
  std::vector<std::int64_t> prompt_ids;  // in its place

  bool has_prompt() const { return !prompt.empty() || !prompt_ids.empty(); }

  std::string ids_text() const { return fmt::format("{}", fmt::join(prompt_ids, " ")); }
};

std::int64_t positive(std::string_view task, const std::string& pair, std::string_view value) {
  const auto number = parse_int(value);
  if (!number || *number < 1)
    throw ConfigError("task", task, "'" + pair + "' must be a positive whole number");
  return *number;
}

int hex_digit(char c) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  const auto at = kDigits.find(static_cast<char>(c >= 'A' && c <= 'F' ? c - 'A' + 'a' : c));
  return at == std::string_view::npos ? -1 : static_cast<int>(at);
}

std::string percent_decoded(std::string_view task, std::string_view text) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      out += text[i];
      continue;
    }
    const int high = i + 2 < text.size() ? hex_digit(text[i + 1]) : -1;
    const int low = i + 2 < text.size() ? hex_digit(text[i + 2]) : -1;
    if (high < 0 || low < 0)
      throw ConfigError("task", task, "'%' must be followed by two hexadecimal digits (%25 is %)");
    out += static_cast<char>(high * 16 + low);
    i += 2;
  }
  return out;
}

std::vector<std::int64_t> token_ids(std::string_view task, const std::string& pair,
                                    std::string_view value) {
  std::vector<std::int64_t> ids;
  for (const std::string& item : split(value, ' ')) {
    const auto id = parse_int(item);
    if (!id || *id < 0)
      throw ConfigError("task", task, "'" + pair + "' must be token ids with a space between them");
    ids.push_back(*id);
  }
  return ids;
}

FreeText parse_free_text(std::string_view task) {
  FreeText text;
  std::set<std::string> seen;
  const std::string_view body = task.substr(kPrefix.size());
  if (body.empty())
    return text;
  for (const std::string& pair : split(body, '&')) {
    const std::string name = pair.substr(0, pair.find('='));
    const std::string_view value =
        std::string_view(pair).substr(std::min(name.size() + 1, pair.size()));
    if (!seen.insert(name).second)
      throw ConfigError("task", task, fmt::format("'{}' once", name));
    if (name == "documents")
      text.documents = positive(task, pair, value);
    else if (name == "length")
      text.length = positive(task, pair, value);
    else if (name == "prompt")
      text.prompt = percent_decoded(task, value);
    else if (name == "prompt_ids")
      text.prompt_ids = token_ids(task, pair, value);
    else
      throw unknown_name("task " + std::string(task), name, kKeys);
  }
  if (!text.prompt.empty() && !text.prompt_ids.empty())
    throw ConfigError("task", task, "'prompt' or 'prompt_ids', not both");
  if (find_invalid_utf8(text.prompt))
    throw ConfigError("task", task, "a prompt in UTF-8");
  return text;
}

// Accepted tokens a pass: what several tokens per step buy.
class TokensPerForward final : public LiveEstimate {
 public:
  void add(const ExampleRow& row) override {
    ratio_.add(static_cast<double>(row.kept_tokens), static_cast<double>(row.counts.passes));
  }

  std::string note() const override {
    const auto estimate = ratio_.estimate();
    return estimate ? fmt::format("{:.3g} tokens/forward", estimate->value) : "no text yet";
  }

 private:
  RunningRatio ratio_;
};

class FreeTextTask final : public SampleTask {
 public:
  FreeTextTask(const RunSpec& spec, const LoadedModel& model, ModelCache& models,
               const FreeText& text)
      : ending_{text.length.value(), stop_ids(spec.sampler, model)},
        quality_(spec, model, models,
                 {text.length.value(), text.documents, text.has_prompt(), has_fixed_length()}) {
    const std::vector<std::int64_t> ids =
        text.prompt_ids.empty() ? prompt_ids(model, text.prompt) : text.prompt_ids;
    check_length(spec, model, std::ssize(ids));
    const std::string sha = sha256_hex(text.prompt + text.ids_text());
    const std::int64_t count =
        spec.limit > 0 ? std::min(spec.limit, text.documents) : text.documents;
    for (std::int64_t i = 0; i < count; ++i) {
      prompts_.push_back(
          {fmt::format("{:06}", i), 0, sha, "", {ids, static_cast<std::uint64_t>(i), 0}});
    }
    identity_ = {fmt::format("samples:documents={}&length={}", text.documents, *text.length),
                 "samples",
                 1,
                 sha,
                 canonical_json(config(text)),
                 text.documents};
    if (!text.prompt.empty())
      identity_.name += fmt::format("&prompt={}", text.prompt);
    if (!text.prompt_ids.empty())
      identity_.name += fmt::format("&prompt_ids={}", text.ids_text());
  }

  const TaskIdentity& identity() const override { return identity_; }

  Json run_identity() const override { return quality_.identity(); }

  std::span<const SamplePrompt> prompts() const override { return prompts_; }

  TextEnding ending() const override { return ending_; }

  bool has_fixed_length() const override { return ending_.stop_ids.empty(); }

  bool continues_prompt() const override { return false; }

  void judge(std::span<ExampleRow>) override {}

  std::unique_ptr<LiveEstimate> live() const override {
    return std::make_unique<TokensPerForward>();
  }

  std::vector<AskedMetric> metrics() const override { return quality_.metrics(); }

  Measures measures(std::span<const ExampleRow> rows, std::span<const std::string> names,
                    Store& store) override {
    return quality_.measures(rows, names, store);
  }

 private:
  Json config(const FreeText& text) const {
    Json config{{"prompt", text.prompt}, {"stop_ids", ending_.stop_ids}};
    if (!text.prompt_ids.empty())
      config["prompt_ids"] = text.prompt_ids;
    return config;
  }

  void check_length(const RunSpec& spec, const LoadedModel& model, std::int64_t prompt) const {
    const std::int64_t longest = model.info().max_length;
    const bool slides =
        spec.sampler.past_context == "slide" || spec.sampler.name == "semi_autoregressive";
    if (longest > 0 && !slides && prompt + ending_.max_new_tokens > longest)
      throw ConfigError("task", fmt::format("length={}", ending_.max_new_tokens),
                        fmt::format("at most {}, what the model's context leaves behind {} prompt "
                                    "tokens, or sampler.past_context = slide",
                                    longest - prompt, prompt));
  }

  TextEnding ending_;
  TextQuality quality_;
  std::vector<SamplePrompt> prompts_;
  TaskIdentity identity_;
};

}  // namespace

bool is_free_text_task(std::string_view task) {
  return task.starts_with(kPrefix);
}

FreeTextRun make_free_text_run(const RunSpec& spec, const LoadedModel& model, ModelCache& models) {
  FreeText text = parse_free_text(spec.task);
  if (spec.sampler.max_new_tokens != 0)
    throw ConfigError("max_new_tokens", std::to_string(spec.sampler.max_new_tokens),
                      "0: the task's length says how long a text is");
  if (spec.estimator.target_ci > 0)
    throw ConfigError("target_ci", std::to_string(spec.estimator.target_ci),
                      "0: free text has no single number to wait for");
  if (!text.length) {
    const std::int64_t longest = model.tokenizer == nullptr ? model.info().max_length : 0;
    text.length = longest > 0 ? longest : 128;
  }
  if (*text.length > kMostTokens / text.documents)
    throw ConfigError("task", spec.task,
                      fmt::format("documents x length of at most {}", kMostTokens));
  RunSpec resolved = spec;
  const bool has_size = model.denoiser == nullptr || model.denoiser->trained_block_size() > 0;
  if (spec.block_size == 0 && !has_size && !is_autoregressive(spec, model))
    resolved.block_size = *text.length;  // an exact world: the text is one block
  auto task = std::make_unique<FreeTextTask>(resolved, model, models, text);
  return {std::move(resolved), std::move(task)};
}

}  // namespace dlm
