#include "harness/sampling_workload.h"

#include <algorithm>
#include <chrono>
#include <map>
#include <numeric>
#include <set>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include "harness/answer_task.h"
#include "harness/base/error.h"
#include "harness/base/log.h"
#include "harness/base/text.h"
#include "harness/free_text_task.h"
#include "harness/pass_cost.h"
#include "harness/progress.h"
#include "harness/reveal_record.h"
#include "harness/sample_task.h"
#include "harness/text_sampling.h"
#include "harness/whole_text_settings.h"
#include "models/runtime.h"
#include "tasks/extractor.h"

namespace dlm {
namespace {

using Clock = std::chrono::steady_clock;
using Chunk = std::vector<std::size_t>;  // places of the prompts that are handed over together

// Texts that can end early are handed over several batches at a time, so that a place in the batch
// that becomes free finds another text.
constexpr std::int64_t kBatchesPerChunk = 4;
constexpr std::size_t kChunksPerStretch = 8;
constexpr std::int64_t kWarmUpTokens = 2;

// Chunks are a function of prompts and batch size alone, so a resumed run makes the same passes.
std::vector<Chunk> make_chunks(const SampleTask& task, const RunSpec& spec) {
  const std::span<const SamplePrompt> prompts = task.prompts();
  const std::int64_t batches = task.has_fixed_length() ? 1 : kBatchesPerChunk;
  const auto size = static_cast<std::size_t>(spec.batch_size * batches);
  std::vector<std::size_t> order(prompts.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  const std::size_t stretch = size * kChunksPerStretch;
  // Like lengths side by side, but for a run that may stop early: it takes the prompts as the task
  // has drawn their order.
  for (std::size_t first = 0; spec.estimator.target_ci == 0 && first < order.size();
       first += stretch) {
    const auto begin = order.begin() + static_cast<std::ptrdiff_t>(first);
    const auto end =
        order.begin() + static_cast<std::ptrdiff_t>(std::min(first + stretch, order.size()));
    std::stable_sort(begin, end, [&](std::size_t a, std::size_t b) {
      return prompts[a].prompt.ids.size() > prompts[b].prompt.ids.size();
    });
  }
  std::vector<Chunk> chunks;
  for (std::size_t first = 0; first < order.size(); first += size) {
    chunks.emplace_back(
        order.begin() + static_cast<std::ptrdiff_t>(first),
        order.begin() + static_cast<std::ptrdiff_t>(std::min(first + size, order.size())));
  }
  return chunks;
}

// A block in one step; of the run's own settings those that decide which passes the model can make.
SamplerSpec warm_up_sampler(const SamplerSpec& sampler, std::int64_t block_size) {
  SamplerSpec warm;
  warm.name = "random";
  warm.tokens_per_step = block_size;
  warm.cache = sampler.cache;
  warm.past_context = sampler.past_context;
  return warm;
}

using RowName = std::pair<std::string, std::int64_t>;  // document and sample

// What became of a chunk: a row each, and the order in which its text was revealed.
struct WrittenRows {
  std::vector<ExampleRow> rows;
  std::vector<RowReveal> reveals;
};

class SamplingWorkload final : public Workload {
 public:
  SamplingWorkload(RunSpec spec, const LoadedModel& model, std::unique_ptr<SampleTask> task)
      : spec_(std::move(spec)), model_(model), task_(std::move(task)), sampler_(spec_, model_) {
    sampler_.check(task_->ending());  // what does not fit ends it here
  }

  const TaskIdentity& task() const override { return task_->identity(); }

  SpecPart settings() const override { return SpecPart::kSample; }

  Json identity() const override {
    Json identity = task_->run_identity();
    const auto add = [&identity](const char* name, const std::string& folder) {
      if (!folder.empty())
        identity[name] = sampler_helper_sha256(folder);
    };
    add("verifier", spec_.sampler.verifier);
    add("adjust", spec_.sampler.adjust);
    return identity;
  }

  std::string plan_text() const override {
    std::int64_t prompt_tokens = 0;
    for (const SamplePrompt& one : task_->prompts()) prompt_tokens += std::ssize(one.prompt.ids);
    const auto texts = std::ssize(task_->prompts());
    return fmt::format("texts {}  tokens {}{}\n  {} prompt tokens; {} texts at a time", texts,
                       task_->has_fixed_length() ? "" : "at most ",
                       texts * task_->ending().max_new_tokens, prompt_tokens, spec_.batch_size);
  }

  void measure(Store& store, const std::string& run_id) override;

  std::vector<AskedMetric> metrics() const override { return task_->metrics(); }

  Measures estimate(Store& store, const std::string& run_id,
                    std::span<const std::string> names) override {
    return task_->measures(store.rows(run_id), names, store);
  }

 private:
  RowName name_of(std::size_t place) const {
    return {task_->prompts()[place].doc_id, task_->prompts()[place].rep};
  }

  std::vector<Prompt> prompts_of(const Chunk& chunk) const;
  std::set<RowName> recall(const std::vector<Chunk>& chunks, std::span<const ExampleRow> stored,
                           LiveEstimate& live) const;
  void warm_up(const Chunk& chunk) const;
  void note_target(const std::string& run_id, const LiveEstimate& live, std::size_t measured) const;
  WrittenRows rows_of(const Chunk& chunk);
  ExampleRow row_of(const SamplePrompt& prompt, const SampledText& text) const;
  std::string text_of(const Prompt& prompt, std::span<const std::int64_t> kept) const;
  RowReveal reveal_of(const Prompt& prompt, const SampledText& text, const ExampleRow& row) const;
  void put_text(const SampledText& text, const Prompt& prompt, ExampleRow& row) const;

  RunSpec spec_;
  const LoadedModel& model_;
  std::unique_ptr<SampleTask> task_;
  TextSampler sampler_;
};

std::vector<Prompt> SamplingWorkload::prompts_of(const Chunk& chunk) const {
  std::vector<Prompt> prompts;
  for (const std::size_t place : chunk) prompts.push_back(task_->prompts()[place].prompt);
  return prompts;
}

// A short text for each place of a batch, a block in one step: weights are in memory and threads
// awake before anything is timed.
void SamplingWorkload::warm_up(const Chunk& chunk) const {
  RunSpec spec = spec_;
  TextEnding ending = task_->ending();
  std::vector<Prompt> prompts = prompts_of(chunk);
  prompts.resize(std::min(prompts.size(), static_cast<std::size_t>(spec_.batch_size)));
  if (is_autoregressive(spec, model_)) {
    ending.max_new_tokens = std::min(ending.max_new_tokens, kWarmUpTokens);
  } else if (spec.sampler.name == "analytic") {
    spec.sampler.steps = 1;
  } else {
    // Of a model that sees the whole text, what is new is one block.
    const BlockDenoiser& denoiser = *model_.denoiser;
    const std::int64_t whole =
        denoiser.sees_whole_text() ? ending.max_new_tokens : denoiser.trained_block_size();
    const std::int64_t size = spec.block_size > 0 ? spec.block_size : whole;
    spec.sampler = warm_up_sampler(spec.sampler, size);
    ending.max_new_tokens = std::min(ending.max_new_tokens, size);
  }
  spec.sampler.entropy_restarts = 0;
  (void)sample_texts(spec, model_, prompts, ending);
}

// Of an answer: what it adds to the prompt's text, with the leading space that decoders take from
// the beginning of a text. Free text is decoded by itself, as every reader of it encodes it: with
// that space its first word would be other tokens than those that were drawn.
std::string SamplingWorkload::text_of(const Prompt& prompt,
                                      std::span<const std::int64_t> kept) const {
  const Tokenizer& tokenizer = *model_.tokenizer;
  if (!task_->continues_prompt())
    return tokenizer.decode(kept);
  std::vector<std::int64_t> whole = prompt.ids;
  whole.insert(whole.end(), kept.begin(), kept.end());
  const std::string before = tokenizer.decode(prompt.ids), all = tokenizer.decode(whole);
  return all.starts_with(before) ? all.substr(before.size()) : tokenizer.decode(kept);
}

// The text that counts: without the token that ended it, and cut at the first stop string, with the
// fewest tokens that spell it.
void SamplingWorkload::put_text(const SampledText& text, const Prompt& prompt,
                                ExampleRow& row) const {
  std::span<const std::int64_t> kept(text.fresh);
  if (text.finish == FinishReason::kStop && !kept.empty()) {
    kept = kept.first(kept.size() - 1);
    row.special_tokens = 1;
  }
  row.kept_tokens = std::ssize(kept);
  if (model_.tokenizer == nullptr) {
    row.output = fmt::format("{}", fmt::join(kept, " "));
    return;
  }
  row.output = text_of(prompt, kept);
  const std::size_t length = cut_at_stops(row.output, task_->ending().stop_strings).size();
  if (length < row.output.size()) {
    row.output.resize(length);
    while (!kept.empty() && text_of(prompt, kept.first(kept.size() - 1)).size() >= length)
      kept = kept.first(kept.size() - 1);
    row.kept_tokens = std::ssize(kept);
  }
  row.bytes = std::ssize(row.output);
  row.words = count_words(row.output);
}

ExampleRow SamplingWorkload::row_of(const SamplePrompt& prompt, const SampledText& text) const {
  ExampleRow row;
  row.doc_id = prompt.doc_id;
  row.rep = prompt.rep;
  row.doc_sha = prompt.doc_sha;
  row.cluster = prompt.cluster;
  row.prompt_tokens = std::ssize(prompt.prompt.ids);
  row.canvas_tokens = text.canvas;
  row.counts.passes = text.nfe;
  row.margin = text.margin;
  put_text(text, prompt.prompt, row);
  return row;
}

RowReveal SamplingWorkload::reveal_of(const Prompt& prompt, const SampledText& text,
                                      const ExampleRow& row) const {
  if (text.revealed_in.empty())
    return {};
  const auto kept = std::span(text.fresh).first(static_cast<std::size_t>(row.kept_tokens));
  const auto before =
      task_->continues_prompt() ? std::span(prompt.ids) : std::span<const std::int64_t>();
  return {row.doc_id, row.rep,
          reveal_record(token_bytes(model_.tokenizer.get(), before, kept, row.output),
                        text.revealed_in)};
}

WrittenRows SamplingWorkload::rows_of(const Chunk& chunk) {
  const std::vector<Prompt> prompts = prompts_of(chunk);
  const PassCounts before = sampler_.counts();
  const auto start = Clock::now();
  const std::vector<SampledText> texts = sampler_.sample(prompts, task_->ending());
  synchronise(spec_.device);
  const auto wall = std::chrono::duration_cast<std::chrono::nanoseconds>(Clock::now() - start);
  const PassCounts counts = sampler_.counts() - before;
  std::int64_t passes = 0;
  for (const SampledText& text : texts) passes += text.nfe + 1;
  PassCost cost(counts, wall.count(), passes);
  WrittenRows written;
  for (std::size_t i = 0; i < chunk.size(); ++i) {
    written.rows.push_back(row_of(task_->prompts()[chunk[i]], texts[i]));
    cost.take_share(texts[i].nfe + 1, written.rows.back());
    written.reveals.push_back(reveal_of(prompts[i], texts[i], written.rows.back()));
  }
  return written;
}

// What an earlier process stored, in the order in which it was made: a stopping rule that watches
// sees the same.
std::set<RowName> SamplingWorkload::recall(const std::vector<Chunk>& chunks,
                                           std::span<const ExampleRow> stored,
                                           LiveEstimate& live) const {
  std::map<RowName, const ExampleRow*> rows;
  for (const ExampleRow& row : stored) rows[{row.doc_id, row.rep}] = &row;
  std::set<RowName> done;
  for (const Chunk& chunk : chunks) {
    for (const std::size_t place : chunk) {
      const auto found = rows.find(name_of(place));
      if (found == rows.end())
        continue;
      done.insert(found->first);
      live.add(*found->second);
    }
  }
  return done;
}

void SamplingWorkload::measure(Store& store, const std::string& run_id) {
  const std::vector<Chunk> chunks = make_chunks(*task_, spec_);
  const std::unique_ptr<LiveEstimate> live = task_->live();
  const std::vector<ExampleRow> stored = store.rows(run_id);
  const std::set<RowName> done = recall(chunks, stored, *live);
  double tokens = 0;
  for (const ExampleRow& row : stored) tokens += static_cast<double>(row.canvas_tokens);
  if (!done.empty() && done.size() < task_->prompts().size())
    log_info("resuming {}: {} of {} texts are stored", run_id, done.size(),
             task_->prompts().size());
  const std::int64_t most = std::ssize(task_->prompts()) * task_->ending().max_new_tokens;
  Progress progress(fmt::format("{} on {}", model_.name, task_->identity().name), "tokens", tokens,
                    static_cast<double>(most));
  bool is_warm = false;
  std::size_t measured = done.size();
  for (const Chunk& chunk : chunks) {
    if (live->is_met())
      break;
    if (std::all_of(chunk.begin(), chunk.end(),
                    [&](std::size_t place) { return done.contains(name_of(place)); }))
      continue;
    if (!std::exchange(is_warm, true))
      warm_up(chunk);
    auto [rows, reveals] = rows_of(chunk);
    task_->judge(rows);
    std::size_t kept = 0;
    while (kept < rows.size() && !live->is_met()) {
      live->add(rows[kept]);
      tokens += static_cast<double>(rows[kept++].canvas_tokens);
    }
    store.add_rows(run_id, std::span(rows).first(kept), std::span(reveals).first(kept));
    measured += kept;
    progress.update(tokens, live->note());
  }
  note_target(run_id, *live, measured);
}

// Says how a run with a target interval ended.
void SamplingWorkload::note_target(const std::string& run_id, const LiveEstimate& live,
                                   std::size_t measured) const {
  if (spec_.estimator.target_ci == 0)
    return;
  const std::size_t all = task_->prompts().size();
  if (live.is_met())
    log_info("{}: the target was met after {} of {} texts: {}", run_id, measured, all, live.note());
  else
    log_warning(
        fmt::format("{}: all {} texts did not meet the target: {}", run_id, measured, live.note()));
}

}  // namespace

bool is_sampling_task(std::string_view task) {
  return is_free_text_task(task) || is_answer_task(task);
}

std::unique_ptr<Workload> make_sampling_workload(const RunSpec& spec, const LoadedModel& model,
                                                 ModelCache& models) {
  if (is_answer_task(spec.task))
    return std::make_unique<SamplingWorkload>(spec, model, make_answer_task(spec, model));
  FreeTextRun run = make_free_text_run(spec, model, models);
  return std::make_unique<SamplingWorkload>(run.spec, model, std::move(run.task));
}

}  // namespace dlm
