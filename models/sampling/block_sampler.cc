#include "models/sampling/block_sampler.h"

#include <algorithm>
#include <exception>
#include <limits>
#include <memory>
#include <numeric>
#include <optional>

#include "harness/base/error.h"
#include "models/sampling/block_row.h"

namespace dlm {
namespace {

// Below this many logits a thread is not worth waking.
constexpr std::int64_t kLogitsForThreads = 16384;

void check_prompt(const Prompt& prompt, std::size_t index, const BlockDenoiser& model,
                  const BlockSampleOptions& options) {
  const ModelInfo& info = model.info();
  const std::string field = fmt::format("prompt {}", index);
  if (info.max_length > 0 && std::ssize(prompt.ids) > info.max_length) {
    throw ConfigError(field, fmt::format("{} tokens", prompt.ids.size()),
                      fmt::format("at most max_length = {}", info.max_length));
  }
  const std::int64_t canvas = std::ssize(prompt.ids) + options.max_new_tokens;
  if (model.sees_whole_text() && info.max_length > 0 && canvas > info.max_length)
    throw ConfigError(field, fmt::format("{} tokens with its new ones", canvas),
                      fmt::format("at most max_length = {}", info.max_length));
  for (const std::int64_t id : prompt.ids) {
    if ((id < 0 || id >= info.vocab_size) && id != model.mask_id())
      throw ConfigError(
          field, fmt::to_string(id),
          fmt::format("ids in [0, {}) or the mask, {}", info.vocab_size, model.mask_id()));
  }
}

void check_tokens_per_step(const BlockSampleOptions& options, std::int64_t block_size) {
  if (options.reveal.tokens_per_step > std::max<std::int64_t>(1, block_size))
    throw ConfigError("tokens_per_step", fmt::to_string(options.reveal.tokens_per_step),
                      fmt::format("at most the block, {} tokens", block_size));
}

// Of a model that sees the whole text.
void check_canvas(const BlockSampleOptions& options) {
  const std::int64_t canvas = options.max_new_tokens;
  const std::int64_t size = options.block_size > 0 ? options.block_size : canvas;
  if (options.block_size < 0 || (canvas > 0 && canvas % size != 0))
    throw ConfigError("block_size", fmt::to_string(options.block_size),
                      fmt::format("a divisor of max_new_tokens = {}, or 0: one block", canvas));
  check_tokens_per_step(options, size);
}

void check_ids(const char* field, std::span<const std::int64_t> ids, const BlockDenoiser& model) {
  for (const std::int64_t id : ids) {
    if (id < 0 || id >= model.info().vocab_size || id == model.mask_id())
      throw ConfigError(field, fmt::to_string(id),
                        fmt::format("ids in [0, {}) but the mask", model.info().vocab_size));
  }
}

void check_policy(const BlockSampleOptions& options, const RevealPolicy& policy) {
  if (!options.late_ids.empty() && !policy.reads_draws())
    throw ConfigError("late_ids", fmt::to_string(options.late_ids.front()),
                      "none: the sampler does not rank the tokens that are drawn");
  if (options.hooks.choice != nullptr && !policy.reads_laws())
    throw ConfigError("sampler", options.reveal.policy, "one that ranks positions, for this hook");
  if (options.hooks.choice != nullptr && options.hooks.refresh != nullptr)
    throw ConfigError("adjust", "with a sampler that chooses a step's tokens at once",
                      "another sampler: nothing is revealed one by one");
}

void check_options(const BlockSampleOptions& options, const BlockDenoiser& model) {
  if (model.loss() == DenoiserLoss::kScoreEntropy)
    throw ConfigError("sampler", "of blocks",
                      "analytic: the model gives scores, not probabilities");
  check_token_filter(options.filter);
  if (options.max_new_tokens < 0)
    throw ConfigError("max_new_tokens", fmt::to_string(options.max_new_tokens), "an integer >= 0");
  if (options.batch_size < 1)
    throw ConfigError("batch_size", fmt::to_string(options.batch_size), "an integer >= 1");
  if (model.sees_whole_text())
    check_canvas(options);
  else if (options.block_size < 0 || (options.block_size == 0 && model.trained_block_size() == 0))
    throw ConfigError("block_size", fmt::to_string(options.block_size),
                      "an integer >= 1: this model was trained with none");
  else if (options.hooks.refresh != nullptr)
    check_tokens_per_step(options,
                          options.block_size > 0 ? options.block_size : model.trained_block_size());
  const std::int64_t limit = model.info().max_length;
  if (limit > 0 && options.block_size > limit)
    throw ConfigError("block_size", fmt::to_string(options.block_size),
                      fmt::format("at most max_length = {}", limit));
  if (!(options.stop.entropy_floor >= 0))
    throw ConfigError("entropy_floor", fmt::to_string(options.stop.entropy_floor),
                      "a number >= 0 (0 = off)");
  check_ids("stop_ids", options.stop.stop_ids, model);
  check_ids("banned_ids", options.banned_ids, model);
  check_ids("late_ids", options.late_ids, model);
}

// A row of the decoder and the text in it.
struct Slot {
  std::optional<BlockRow> row;
  bool busy = false;
};

class BlockLoop {
 public:
  BlockLoop(const BlockDenoiser& model, const RowContext& context, std::span<const Prompt> prompts,
            std::span<BlockSample> results)
      : model_(model), context_(context), prompts_(prompts), results_(results) {
    // The longest first, so that what does not fit into memory fails at once, and like lengths run
    // side by side.
    order_.resize(prompts.size());
    std::iota(order_.begin(), order_.end(), std::size_t{0});
    std::stable_sort(order_.begin(), order_.end(), [&](std::size_t a, std::size_t b) {
      return prompts[a].ids.size() > prompts[b].ids.size();
    });
    const auto rows = std::min<std::int64_t>(context.options.batch_size, std::ssize(prompts));
    slots_.resize(static_cast<std::size_t>(rows));
    const BlockSampleOptions& options = context.options;
    decoder_ = model.new_decoder(
        {rows, context.block_size, longest_row(), options.cache, options.stale_keys,
         options.slice_start, options.guidance,
         options.hooks.refresh != nullptr && options.hooks.refresh->reads_hidden()});
  }

  void run() {
    while (fill()) pass();
  }

 private:
  std::int64_t longest_row() const {
    const std::int64_t size = context_.block_size;
    const std::int64_t limit = context_.info.max_length;
    const std::int64_t canvas =
        std::ssize(prompts_[order_.front()].ids) + context_.options.max_new_tokens;
    if (context_.canvas)
      return canvas;
    const std::int64_t whole = std::max(size, (canvas + size - 1) / size * size);
    const bool stops = limit > 0 && context_.options.past_context == PastContext::kStop;
    return stops ? std::min(whole, limit) : whole;
  }

  // Brings every slot to its next pass; false where nothing is left.
  bool fill() {
    bool any = false;
    for (std::size_t s = 0; s < slots_.size(); ++s) {
      Slot& slot = slots_[s];
      slot.busy = slot.row.has_value() && slot.row->prepare();
      while (!slot.busy && next_ < order_.size()) {
        const std::size_t index = order_[next_++];
        decoder_->clear(static_cast<std::int64_t>(s));
        slot.row.emplace(context_, prompts_[index], results_[index]);
        slot.busy = slot.row->prepare();
      }
      any = any || slot.busy;
    }
    return any;
  }

  void pass() {
    std::vector<DecodeStep> steps;
    active_.clear();
    for (std::size_t s = 0; s < slots_.size(); ++s) {
      if (!slots_[s].busy)
        continue;
      steps.push_back(slots_[s].row->step(static_cast<std::int64_t>(s)));
      active_.push_back(s);
    }
    std::span<float> logits = decoder_->step(steps);
    parts_.clear();
    for (const std::size_t s : active_) {
      BlockRow& row = *slots_[s].row;
      row.passed();
      const auto size = row.wanted() * static_cast<std::size_t>(context_.info.vocab_size);
      parts_.push_back(logits.first(size));
      logits = logits.subspan(size);
    }
    if (context_.options.hooks.refresh != nullptr) {
      const std::vector<std::int64_t> rows(active_.begin(), active_.end());
      context_.options.hooks.refresh->begin(*decoder_, rows);
      reveal_one_by_one();
    } else {
      reveal_all(std::numeric_limits<std::int64_t>::max());
    }
    for (const std::size_t s : active_) slots_[s].row->finish_step();
  }

  // Rows are independent, so the threads' share of them decides nothing.
  void reveal_all(std::int64_t most) {
    const auto count = static_cast<std::int64_t>(active_.size());
    std::vector<std::exception_ptr> failures(active_.size());
    more_.assign(active_.size(), 0);
    const bool parallel = count > 1 && context_.options.hooks.draws == nullptr &&
                          context_.options.hooks.choice == nullptr &&
                          count * context_.info.vocab_size >= kLogitsForThreads;
#pragma omp parallel for schedule(dynamic) if (parallel)
    for (std::int64_t i = 0; i < count; ++i) {
      const auto index = static_cast<std::size_t>(i);
      try {
        more_[index] = slots_[active_[index]].row->reveal(parts_[index], most) ? 1 : 0;
      } catch (...) {
        failures[index] = std::current_exception();
      }
    }
    for (const auto& failure : failures) {
      if (failure)
        std::rethrow_exception(failure);
    }
  }

  void reveal_one_by_one() {
    while (true) {
      reveal_all(1);
      std::vector<RefreshRow> rows;
      std::vector<std::size_t> going_on;
      std::vector<std::span<float>> parts;
      for (std::size_t i = 0; i < active_.size(); ++i) {
        if (more_[i] == 0)
          continue;
        const std::size_t s = active_[i];
        rows.push_back(slots_[s].row->refresh_row(static_cast<std::int64_t>(s), parts_[i]));
        going_on.push_back(s);
        parts.push_back(parts_[i]);
      }
      finish_others(going_on);
      active_ = std::move(going_on);
      parts_ = std::move(parts);
      if (active_.empty())
        return;
      context_.options.hooks.refresh->refresh(rows);
    }
  }

  // Rows whose step is over while others' go on.
  void finish_others(const std::vector<std::size_t>& going_on) {
    for (const std::size_t s : active_) {
      if (std::find(going_on.begin(), going_on.end(), s) == going_on.end())
        slots_[s].row->finish_step();
    }
  }

  const BlockDenoiser& model_;
  const RowContext& context_;
  std::span<const Prompt> prompts_;
  std::span<BlockSample> results_;
  std::unique_ptr<BlockDecoder> decoder_;
  std::vector<std::size_t> order_;
  std::size_t next_ = 0;
  std::vector<Slot> slots_;
  std::vector<std::size_t> active_;      // slots of this pass
  std::vector<std::span<float>> parts_;  // their logits
  std::vector<char> more_;               // whether their step goes on
};

}  // namespace

std::vector<BlockSample> sample_blocks(const BlockDenoiser& model, std::span<const Prompt> prompts,
                                       const BlockSampleOptions& options) {
  check_options(options, model);
  for (std::size_t i = 0; i < prompts.size(); ++i) check_prompt(prompts[i], i, model, options);
  std::vector<BlockSample> results(prompts.size());
  if (prompts.empty())
    return results;
  std::unique_ptr<RevealPolicy> named;
  if (options.hooks.policy == nullptr)
    named = make_reveal_policy(options.reveal);
  const bool canvas = model.sees_whole_text();
  const std::int64_t whole = canvas ? options.max_new_tokens : model.trained_block_size();
  const RowContext context{model.info(),
                           model.mask_id(),
                           options.block_size > 0 ? options.block_size : whole,
                           options,
                           options.hooks.policy != nullptr ? *options.hooks.policy : *named,
                           canvas};
  check_policy(options, context.policy);
  BlockLoop(model, context, prompts, results).run();
  return results;
}

}  // namespace dlm
