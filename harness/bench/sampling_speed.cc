#include "harness/bench/sampling_speed.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <utility>

#include "harness/base/error.h"
#include "harness/base/random.h"
#include "harness/bench/step_clock.h"
#include "harness/text_sampling.h"
#include "models/dit.h"
#include "models/runtime.h"
#include "models/transformer/decoder_model.h"

namespace dlm {
namespace {

constexpr std::int64_t kFewestRepeats = 6;  // of which the median has a 95 % interval

std::vector<Prompt> random_prompts(const RunSpec& spec, const LoadedModel& loaded,
                                   std::int64_t context) {
  const ModelInfo& info = loaded.info();
  const std::int64_t mask = loaded.denoiser != nullptr ? loaded.denoiser->mask_id() : -1;
  // A decoder has no law for the first token of a text.
  if (context == 0 && is_autoregressive(spec, loaded) && !info.scores_first_token)
    context = 1;
  std::vector<Prompt> prompts;
  for (std::int64_t row = 0; row < spec.batch_size; ++row) {
    const auto example = static_cast<std::uint64_t>(row);
    const RandomStream stream(spec.seed, Purpose::kCorpusDraw, example);
    Prompt prompt{{}, example, 0};
    for (std::int64_t i = 0; i < context; ++i) {
      const auto id = static_cast<std::int64_t>(stream.below(
          static_cast<std::uint64_t>(info.vocab_size), 0, static_cast<std::uint64_t>(i)));
      prompt.ids.push_back(id == mask ? (id + 1) % info.vocab_size : id);
    }
    prompts.push_back(std::move(prompt));
  }
  return prompts;
}

void check_fits(const LoadedModel& loaded, const SpeedQuestion& question) {
  const std::int64_t limit = loaded.info().max_length;
  if (limit > 0 && question.context + question.new_tokens > limit)
    throw ConfigError("context",
                      fmt::format("{} and {} new tokens", question.context, question.new_tokens),
                      fmt::format("together at most the model's length, {}", limit));
}

struct Timed {
  const RunSpec& spec;
  const LoadedModel& loaded;
  StepTimes times = {};
  LoadedModel model = timed_model(loaded, times, [this] { return sampler.counts(); });
  TextSampler sampler{spec, model};
};

SpeedRepeat one_repeat(Timed& timed, std::span<const Prompt> prompts, const TextEnding& ending,
                       std::vector<double>& steps) {
  using Clock = std::chrono::steady_clock;
  StepTimes& times = timed.times;
  times = {};
  const auto texts = timed.sampler.sample(prompts, ending);
  synchronise(timed.spec.device);
  times.begins.push_back(Clock::now());
  std::int64_t accepted = -times.first_tokens;
  for (const SampledText& text : texts) accepted += std::ssize(text.fresh);
  if (times.begins.size() < 3 || accepted < 1)
    throw ConfigError("max_new_tokens", fmt::to_string(ending.max_new_tokens),
                      "more: the first pass also encodes the context and is not timed");
  SpeedRepeat repeat;
  const auto seconds = [](Clock::duration time) {
    return std::chrono::duration<double>(time).count();
  };
  repeat.seconds = seconds(times.begins.back() - times.begins[1]);
  for (std::size_t i = 1; i + 1 < times.begins.size(); ++i)
    steps.push_back(seconds(times.begins[i + 1] - times.begins[i]));
  repeat.accepted = accepted;
  repeat.canvas = -times.first_tokens;
  for (const SampledText& text : texts) repeat.canvas += text.canvas;
  repeat.counts = timed.sampler.counts() - times.first_counts;
  return repeat;
}

void add_sizes(const LoadedModel& loaded, SamplingSpeed& speed) {
  if (const auto* dit = dynamic_cast<const DitModel*>(loaded.denoiser.get())) {
    std::int64_t bytes = matrix_bytes(dit->network().decoder);
    const auto size =
        static_cast<std::int64_t>(c10::elementSize(dit->network().decoder.compute.dtype));
    for (const Linear& run : dit->network().head) bytes += run.inputs * run.outputs * size;
    speed.matrix_bytes = static_cast<double>(bytes);
    speed.key_value_bytes = static_cast<double>(key_value_bytes(dit->network().decoder));
  } else if (const auto* decoder = dynamic_cast<const DecoderModel*>(loaded.model.get())) {
    speed.matrix_bytes = static_cast<double>(matrix_bytes(decoder->decoder()));
    speed.key_value_bytes = static_cast<double>(key_value_bytes(decoder->decoder()));
  }
}

// P(X < k), X the number of n values below their median.
double below_median(std::int64_t k, std::int64_t n) {
  double term = std::pow(0.5, static_cast<double>(n));
  double sum = 0;
  for (std::int64_t i = 0; i < k; ++i) {
    sum += term;
    term *= static_cast<double>(n - i) / static_cast<double>(i + 1);
  }
  return sum;
}

}  // namespace

MedianInterval median_interval(std::vector<double> values) {
  DLM_CHECK(!values.empty(), "the median of nothing");
  std::sort(values.begin(), values.end());
  const std::int64_t n = std::ssize(values);
  std::int64_t k = 1;  // the interval is from the k-th smallest to the k-th largest
  while (k + 1 <= n / 2 && below_median(k + 1, n) <= 0.025) ++k;
  const auto at = [&](std::int64_t i) { return values[static_cast<std::size_t>(i)]; };
  return {quantile(values, 0.5), {at(k - 1), at(n - k)}};
}

SamplingSpeed measure_sampling(const RunSpec& spec, const LoadedModel& loaded,
                               const SpeedQuestion& question) {
  check_fits(loaded, question);
  const auto prompts = random_prompts(spec, loaded, question.context);
  const TextEnding ending{question.new_tokens, {}};
  SamplingSpeed speed;
  add_sizes(loaded, speed);
  Timed timed{spec, loaded};
  std::vector<double> warm_up;
  (void)one_repeat(timed, prompts, ending, warm_up);
  const std::int64_t most = std::max(kFewestRepeats, question.most_repeats);
  while (std::ssize(speed.repeats) < most) {
    speed.repeats.push_back(one_repeat(timed, prompts, ending, speed.step_seconds));
    if (std::ssize(speed.repeats) < kFewestRepeats)
      continue;
    const auto seconds = speed.rates([](const SpeedRepeat&) { return 1; });
    if (median_interval(seconds).half_width() <= question.spread)
      break;
  }
  return speed;
}

}  // namespace dlm
