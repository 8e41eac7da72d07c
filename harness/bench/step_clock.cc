#include "harness/bench/step_clock.h"

#include <algorithm>
#include <utility>

#include <ATen/core/Tensor.h>

#include "models/wrapped_denoiser.h"

namespace dlm {
namespace {

class Clock {
 public:
  Clock(StepTimes& times, std::function<PassCounts()> counts)
      : times_(times), counts_(std::move(counts)) {}

  void begin() {
    if (times_.begins.size() == 1)
      times_.first_counts = counts_();
    times_.begins.push_back(std::chrono::steady_clock::now());
  }

  StepTimes& times() { return times_; }

 private:
  StepTimes& times_;
  std::function<PassCounts()> counts_;
};

class TimedDecoder final : public WrappedDecoder {
 public:
  TimedDecoder(std::unique_ptr<BlockDecoder> inner, const BlockDenoiser& model, Clock& clock)
      : WrappedDecoder(std::move(inner)), model_(model), clock_(clock) {}

  std::span<float> step(std::span<const DecodeStep> steps) override {
    clock_.begin();
    StepTimes& times = clock_.times();
    if (times.begins.size() <= 2) {
      const std::int64_t hidden = this->hidden(steps);
      times.first_tokens = times.begins.size() == 1 ? hidden : times.first_tokens - hidden;
    }
    return WrappedDecoder::step(steps);
  }

 private:
  // Hidden tokens of blocks; those of a block that is new in the second pass are not left over from
  // the first.
  std::int64_t hidden(std::span<const DecodeStep> steps) {
    std::int64_t count = 0;
    const bool first = clock_.times().begins.size() == 1;
    for (const DecodeStep& step : steps) {
      if (first || step.completed.empty())
        count += std::count(step.block.begin(), step.block.end(), model_.mask_id());
    }
    return count;
  }

  const BlockDenoiser& model_;
  Clock& clock_;
};

class TimedDenoiser final : public WrappedDenoiser {
 public:
  TimedDenoiser(const BlockDenoiser& inner, Clock clock)
      : WrappedDenoiser(inner), clock_(std::move(clock)) {}

  std::unique_ptr<BlockDecoder> new_decoder(const DecoderOptions& options) const override {
    return std::make_unique<TimedDecoder>(inner().new_decoder(options), inner(), clock_);
  }

 private:
  mutable Clock clock_;
};

class TimedAutoregressive final : public AutoregressiveModel {
 public:
  TimedAutoregressive(const AutoregressiveModel& inner, Clock clock)
      : inner_(inner), clock_(std::move(clock)) {}

  const ModelInfo& info() const override { return inner_.info(); }

  std::vector<std::vector<double>> token_nll(
      std::span<const ScoringWindow> windows) const override {
    return inner_.token_nll(windows);
  }

  PassCounts counts() const override { return inner_.counts(); }

  at::Tensor logits(const at::Tensor& ids, std::span<const std::int64_t> lengths) const override {
    return inner_.logits(ids, lengths);
  }

  at::Tensor hidden_states(const at::Tensor& ids,
                           std::span<const std::int64_t> lengths) const override {
    return inner_.hidden_states(ids, lengths);
  }

  std::unique_ptr<KvCache> new_cache(std::int64_t batch, std::int64_t capacity) const override {
    return inner_.new_cache(batch, capacity);
  }

  at::Tensor next_logits(const at::Tensor& ids, std::span<const std::int64_t> lengths,
                         KvCache& cache) const override {
    clock_.begin();
    if (clock_.times().begins.size() == 1)
      clock_.times().first_tokens = std::ssize(lengths);
    return inner_.next_logits(ids, lengths, cache);
  }

 private:
  const AutoregressiveModel& inner_;
  mutable Clock clock_;
};

}  // namespace

LoadedModel timed_model(const LoadedModel& loaded, StepTimes& times,
                        std::function<PassCounts()> counts) {
  const Clock clock(times, std::move(counts));
  LoadedModel timed;
  timed.name = loaded.name;
  timed.weights_sha256 = loaded.weights_sha256;
  timed.config_json = loaded.config_json;
  if (loaded.model != nullptr)
    timed.model = std::make_unique<TimedAutoregressive>(*loaded.model, clock);
  if (loaded.denoiser != nullptr)
    timed.denoiser = std::make_unique<TimedDenoiser>(*loaded.denoiser, clock);
  return timed;
}

}  // namespace dlm
