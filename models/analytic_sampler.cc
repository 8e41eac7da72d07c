#include "models/analytic_sampler.h"

#include <algorithm>
#include <cmath>
#include <memory>

#include "harness/base/error.h"
#include "harness/base/random.h"

namespace dlm {
namespace {

constexpr double kLastTime = 1e-5;

void check_options(const AnalyticOptions& options, const BlockDenoiser& model) {
  if (model.loss() != DenoiserLoss::kScoreEntropy)
    throw ConfigError("sampler", "analytic", "another: the model gives no scores");
  if (options.steps < 1)
    throw ConfigError("steps", fmt::to_string(options.steps), "an integer >= 1");
  if (options.batch_size < 1)
    throw ConfigError("batch_size", fmt::to_string(options.batch_size), "an integer >= 1");
  if (options.length < 0 || options.length > model.info().max_length)
    throw ConfigError("length", fmt::to_string(options.length),
                      fmt::format("at most the model's, {}", model.info().max_length));
  check_token_filter({1, 0, options.nucleus_p, options.nucleus_rule});
}

// Where between two times a step stands; the last one goes to no noise at all.
struct NoiseStep {
  double t = 1;
  double decrease = 0;  // of the total noise
  bool last = false;
};

NoiseStep noise_step(const AnalyticOptions& options, std::int64_t index) {
  const std::int64_t steps = options.steps;
  const double dt = (1 - kLastTime) / static_cast<double>(steps);
  const double t = 1 - static_cast<double>(index) * dt;
  const auto sigma = [&](double time) { return noise_level(options.noise, time).sigma; };
  if (index == steps)
    return {kLastTime, sigma(kLastTime), true};
  return {t, sigma(t) - sigma(std::max(kLastTime, t - dt)), false};
}

// The law of a hidden position after the step: its token, or still the mask. With scores s
// (the mask's own is 1) and d the decrease of noise: (e^d - 1) s_y for a token, and
// e^d s_mask + (1 - e^d) sum s for the mask, which is not negative but by rounding.
TokenLaw transition(std::span<const float> log_scores, const NoiseStep& step,
                    const AnalyticOptions& options, std::int64_t mask_id) {
  const auto mask = static_cast<std::size_t>(mask_id);
  std::vector<double> scores(log_scores.size());
  double sum = 0;
  for (std::size_t v = 0; v < scores.size(); ++v) {
    scores[v] = v == mask ? 1 : std::exp(static_cast<double>(log_scores[v]));
    sum += scores[v];
  }
  if (!std::isfinite(sum))
    throw InternalError(fmt::format("the scores sum to {}", sum));
  if (options.nucleus_p < 1) {
    for (double& score : scores) score /= sum;
    const TokenLaw kept = filtered_law(scores, {1, 0, options.nucleus_p, options.nucleus_rule});
    std::fill(scores.begin(), scores.end(), 0.0);
    for (std::size_t i = 0; i < kept.tokens.size(); ++i)
      scores[static_cast<std::size_t>(kept.tokens[i])] = kept.probabilities[i];
    sum = 1;
  }
  const double growth = std::expm1(step.decrease);
  const double stays = (1 + growth) * scores[mask] - growth * sum;
  for (double& score : scores) score *= growth;
  scores[mask] = step.last ? 0 : std::max(0.0, stays);
  double total = 0;
  for (const double score : scores) total += score;
  if (!(total > 0))
    throw InternalError("no token has a score: the nucleus holds the mask alone");
  for (double& score : scores) score /= total;
  return filtered_law(scores, {});
}

// One text on its way.
struct AnalyticRow {
  std::vector<std::int64_t> ids;
  std::vector<std::int64_t> hidden;
  std::vector<std::int64_t> revealed_in;
};

class AnalyticBatch {
 public:
  AnalyticBatch(const BlockDenoiser& model, const AnalyticOptions& options,
                std::span<const Prompt> prompts, std::span<BlockSample> results)
      : model_(model), options_(options), prompts_(prompts), results_(results) {
    const std::int64_t length = options.length > 0 ? options.length : model.info().max_length;
    for (const Prompt& prompt : prompts) {
      AnalyticRow row{prompt.ids, {}, {}};
      row.ids.resize(static_cast<std::size_t>(length), model.mask_id());
      row.revealed_in.resize(row.ids.size());
      for (std::int64_t i = 0; i < length; ++i) {
        if (row.ids[static_cast<std::size_t>(i)] == model.mask_id())
          row.hidden.push_back(i);
      }
      rows_.push_back(std::move(row));
    }
    decoder_ = model.new_decoder({std::ssize(prompts), length, length, ContextCache::kOn});
  }

  void run() {
    for (std::int64_t index = 0; index <= options_.steps; ++index)
      pass(index, noise_step(options_, index));
    for (std::size_t r = 0; r < rows_.size(); ++r) {
      results_[r].ids = std::move(rows_[r].ids);
      results_[r].revealed_in = std::move(rows_[r].revealed_in);
      results_[r].prompt_tokens = std::ssize(prompts_[r].ids);
    }
  }

 private:
  void pass(std::int64_t index, const NoiseStep& step) {
    std::vector<DecodeStep> steps;
    for (std::size_t r = 0; r < rows_.size(); ++r) {
      if (!rows_[r].hidden.empty())
        steps.push_back({static_cast<std::int64_t>(r), {}, rows_[r].ids, rows_[r].hidden, step.t});
    }
    if (steps.empty())
      return;
    std::span<float> scores = decoder_->step(steps);
    for (const DecodeStep& part : steps) {
      const auto r = static_cast<std::size_t>(part.row);
      ++results_[r].nfe;
      reveal(r, index, step, scores);
    }
  }

  // Takes the row's scores from the front of `scores`.
  void reveal(std::size_t r, std::int64_t index, const NoiseStep& step, std::span<float>& scores) {
    const auto V = static_cast<std::size_t>(model_.info().vocab_size);
    const Prompt& prompt = prompts_[r];
    const RandomStream stream(options_.seed, Purpose::kTokenDraw, prompt.example, prompt.replicate);
    std::vector<std::int64_t> still;
    for (const std::int64_t position : rows_[r].hidden) {
      const TokenLaw law = transition(scores.first(V), step, options_, model_.mask_id());
      scores = scores.subspan(V);
      const DrawName name{prompt.example, prompt.replicate, static_cast<std::uint64_t>(index),
                          position};
      const DrawnToken token =
          options_.draws != nullptr
              ? options_.draws->draw(law, name)
              : draw_from(law, stream.uniform(name.step, static_cast<std::uint64_t>(position)));
      results_[r].margin = std::min(results_[r].margin, token.margin);
      rows_[r].ids[static_cast<std::size_t>(position)] = token.token;
      if (token.token == model_.mask_id()) {
        still.push_back(position);
        continue;
      }
      ++results_[r].canvas;
      rows_[r].revealed_in[static_cast<std::size_t>(position)] = results_[r].nfe;
    }
    rows_[r].hidden = std::move(still);
  }

  const BlockDenoiser& model_;
  const AnalyticOptions& options_;
  std::span<const Prompt> prompts_;
  std::span<BlockSample> results_;
  std::vector<AnalyticRow> rows_;
  std::unique_ptr<BlockDecoder> decoder_;
};

}  // namespace

std::vector<BlockSample> sample_analytic(const BlockDenoiser& model,
                                         std::span<const Prompt> prompts,
                                         const AnalyticOptions& options) {
  check_options(options, model);
  const std::int64_t length = options.length > 0 ? options.length : model.info().max_length;
  for (const Prompt& prompt : prompts) {
    if (std::ssize(prompt.ids) > length)
      throw ConfigError("prompt", fmt::format("{} tokens", prompt.ids.size()),
                        fmt::format("at most the text's length, {}", length));
  }
  std::vector<BlockSample> results(prompts.size());
  const auto batch = static_cast<std::size_t>(options.batch_size);
  for (std::size_t begin = 0; begin < prompts.size(); begin += batch) {
    const std::size_t count = std::min(batch, prompts.size() - begin);
    AnalyticBatch(model, options, prompts.subspan(begin, count),
                  std::span(results).subspan(begin, count))
        .run();
  }
  return results;
}

}  // namespace dlm
