#include "models/sampling/autoregressive.h"

#include <algorithm>
#include <memory>
#include <numeric>

#include <ATen/Parallel.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/full.h>

#include "harness/base/error.h"
#include "harness/base/random.h"
#include "models/sampling/token_law.h"

namespace dlm {
namespace {

constexpr std::int64_t kLogitsPerThread = 16384;

void check_options(const GenerateOptions& options, std::int64_t vocab_size) {
  check_token_filter(options.filter);
  if (options.max_new_tokens < 0)
    throw ConfigError("max_new_tokens", fmt::to_string(options.max_new_tokens), "an integer >= 0");
  if (options.batch_size < 1)
    throw ConfigError("batch_size", fmt::to_string(options.batch_size), "an integer >= 1");
  for (std::int64_t id : options.stop_ids) {
    if (id < 0 || id >= vocab_size)
      throw ConfigError("stop_ids", fmt::to_string(id), fmt::format("ids in [0, {})", vocab_size));
  }
}

void check_prompt(const Prompt& prompt, std::size_t index, const ModelInfo& info) {
  const std::string field = fmt::format("prompt {}", index);
  if (prompt.ids.empty() && !info.scores_first_token) {
    throw ConfigError(
        field, "",
        fmt::format("at least one token: a {} model has no law for the first token", info.family));
  }
  if (info.max_length > 0 && std::ssize(prompt.ids) > info.max_length) {
    throw ConfigError(field, fmt::format("{} tokens", prompt.ids.size()),
                      fmt::format("at most max_length = {}", info.max_length));
  }
  for (std::int64_t id : prompt.ids) {
    if (id < 0 || id >= info.vocab_size)
      throw ConfigError(field, fmt::to_string(id), fmt::format("ids in [0, {})", info.vocab_size));
  }
}

// One prompt on its way.
struct Row {
  const Prompt* prompt;
  Continuation* out;
  RandomStream stream;
  std::vector<std::int64_t> ids;  // prompt and new tokens
  std::size_t begin = 0;          // of the context: what is before has dropped out
  std::size_t fed = 0;            // ids the cache holds, and those before `begin`
  bool live = true;

  std::int64_t made() const { return std::ssize(ids) - std::ssize(prompt->ids); }
};

class Batch {
 public:
  Batch(const AutoregressiveModel& model, const GenerateOptions& options, std::vector<Row> rows)
      : model_(model),
        options_(options),
        rules_{options.stop_ids, options.entropy_floor, options.text_stop},
        rows_(std::move(rows)) {}

  void run() {
    for (Row& row : rows_) stop_if_full(row);
    while (true) {
      if (options_.cache == CacheUse::kOff) {
        std::erase_if(rows_, [](const Row& row) { return !row.live; });
        encode_anew();
      }
      if (std::none_of(rows_.begin(), rows_.end(), [](const Row& row) { return row.live; }))
        return;
      slide();
      advance();
    }
  }

 private:
  void encode_anew() {
    for (Row& row : rows_) row.fed = row.begin;
    cache_.reset();
  }

  // Where a context is full its older half drops out. What is kept has seen it, and keys know their
  // places, so it is encoded anew; with it all rows, which share the cache.
  void slide() {
    const auto limit = static_cast<std::size_t>(model_.info().max_length);
    if (limit == 0 || options_.past_context == PastContext::kStop)
      return;
    bool any = false;
    for (Row& row : rows_) {
      if (!row.live || row.ids.size() - row.begin < limit)
        continue;
      row.begin = row.ids.size() - std::max<std::size_t>(1, limit / 2);
      any = true;
    }
    if (any)
      encode_anew();
  }

  // One network pass and one token for every live row.
  void advance() {
    if (!cache_)
      cache_ = model_.new_cache(std::ssize(rows_), capacity());
    const at::Tensor logits = next_logits();
    const std::int64_t V = model_.info().vocab_size;
    const float* data = logits.const_data_ptr<float>();
    // Rows are independent, so the threads' share of them decides nothing. A small vocabulary is
    // not worth waking a thread for.
    const std::int64_t grain = std::max<std::int64_t>(1, kLogitsPerThread / V);
    at::parallel_for(0, std::ssize(rows_), grain, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t b = begin; b < end; ++b) {
        Row& row = rows_[static_cast<std::size_t>(b)];
        if (row.live)
          extend(row, {data + b * V, static_cast<std::size_t>(V)});
      }
    });
  }

  std::int64_t capacity() const {
    std::size_t longest = 1;
    for (const Row& row : rows_) {
      if (!row.live)
        continue;
      const auto left = options_.max_new_tokens - row.made();
      longest = std::max(longest, row.ids.size() - row.begin + static_cast<std::size_t>(left));
    }
    const std::int64_t limit = model_.info().max_length;
    const auto wanted = static_cast<std::int64_t>(longest);
    return limit > 0 ? std::min(wanted, limit) : wanted;
  }

  // Feeds what the cache lacks of each live row -> (B, V) f32 on the CPU.
  at::Tensor next_logits() {
    std::vector<std::int64_t> lengths;
    for (const Row& row : rows_)
      lengths.push_back(row.live ? std::ssize(row.ids) - static_cast<std::int64_t>(row.fed) : 0);
    const std::int64_t L = *std::max_element(lengths.begin(), lengths.end());
    const at::Tensor ids = at::full({std::ssize(rows_), L}, 0, at::kLong);
    auto* out = ids.mutable_data_ptr<std::int64_t>();
    for (Row& row : rows_) {
      if (row.live) {
        std::copy(row.ids.begin() + static_cast<std::ptrdiff_t>(row.fed), row.ids.end(), out);
        row.fed = row.ids.size();
      }
      out += L;
    }
    const at::Tensor logits = model_.next_logits(ids, lengths, *cache_);
    DLM_CHECK(logits.dim() == 2 && logits.size(0) == std::ssize(rows_) &&
                  logits.size(1) == model_.info().vocab_size,
              "logits of {} rows", logits.size(0));
    return logits.to(at::kCPU, at::kFloat).contiguous();
  }

  void extend(Row& row, std::span<const float> logits) const {
    Continuation& out = *row.out;
    const std::int64_t token = draw(row, logits);
    row.ids.push_back(token);
    ++out.nfe;
    const auto prompt = std::ssize(row.prompt->ids);
    const auto stop = find_stop(row.ids, prompt, std::ssize(row.ids) - 1, rules_);
    if (!stop) {
      stop_if_full(row);
      return;
    }
    row.ids.resize(static_cast<std::size_t>(stop->length));
    finish(row, finish_reason_of(stop->reason));
  }

  std::int64_t draw(const Row& row, std::span<const float> logits) const {
    try {
      if (options_.filter.temperature == 0)
        return argmax_token(logits);
      const double uniform = row.stream.uniform(static_cast<std::uint64_t>(row.made()), 0);
      return draw_from_logits(logits, options_.filter, uniform).token;
    } catch (const InternalError& error) {
      throw InternalError(fmt::format("{} model, example {}, position {}: {}", model_.info().family,
                                      row.prompt->example, row.ids.size(), error.what()));
    }
  }

  void stop_if_full(Row& row) const {
    const std::int64_t limit = model_.info().max_length;
    if (row.made() >= options_.max_new_tokens) {
      finish(row, FinishReason::kLength);
    } else if (limit > 0 && std::ssize(row.ids) >= limit &&
               options_.past_context == PastContext::kStop) {
      finish(row, FinishReason::kContext);
    }
  }

  // The text is held once: long ones are most of what a run of a small model keeps.
  static void finish(Row& row, FinishReason reason) {
    row.out->ids.assign(row.ids.begin() + std::ssize(row.prompt->ids), row.ids.end());
    row.ids = {};
    row.out->finish = reason;
    row.live = false;
  }

  const AutoregressiveModel& model_;
  const GenerateOptions& options_;
  StopRules rules_;
  std::vector<Row> rows_;
  std::unique_ptr<KvCache> cache_;
};

}  // namespace

std::string_view finish_reason_name(FinishReason reason) {
  switch (reason) {
    case FinishReason::kStop:
      return "stop";
    case FinishReason::kLength:
      return "length";
    case FinishReason::kContext:
      return "context";
    case FinishReason::kEntropy:
      return "entropy";
    case FinishReason::kText:
      return "text";
  }
  DLM_CHECK(false, "finish reason {}", static_cast<int>(reason));
}

FinishReason finish_reason_of(Stop stop) {
  if (stop == Stop::kEntropy)
    return FinishReason::kEntropy;
  return stop == Stop::kText ? FinishReason::kText : FinishReason::kStop;
}

std::vector<Continuation> generate(const AutoregressiveModel& model,
                                   std::span<const Prompt> prompts,
                                   const GenerateOptions& options) {
  check_options(options, model.info().vocab_size);
  for (std::size_t i = 0; i < prompts.size(); ++i) check_prompt(prompts[i], i, model.info());

  // Prompts of like length share a pass, so that little of it is padding; the longest first, so
  // that what does not fit into memory fails at once.
  std::vector<std::size_t> order(prompts.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
    return prompts[a].ids.size() > prompts[b].ids.size();
  });
  std::vector<Continuation> results(prompts.size());
  const auto batch_size = static_cast<std::size_t>(options.batch_size);
  for (std::size_t begin = 0; begin < order.size(); begin += batch_size) {
    std::vector<Row> rows;
    for (std::size_t i = begin; i < std::min(begin + batch_size, order.size()); ++i) {
      const Prompt& prompt = prompts[order[i]];
      rows.push_back({.prompt = &prompt,
                      .out = &results[order[i]],
                      .stream = RandomStream(options.seed, Purpose::kTokenDraw, prompt.example,
                                             prompt.replicate),
                      .ids = prompt.ids});
    }
    Batch(model, options, std::move(rows)).run();
  }
  return results;
}

}  // namespace dlm
