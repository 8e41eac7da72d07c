#include "models/judged_choice.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/log_softmax.h>

#include "harness/base/error.h"
#include "harness/base/random.h"
#include "models/sampling/token_law.h"

namespace dlm {
namespace {

using Ids = std::vector<std::int64_t>;

// Positions of one fill's draws lie apart from another's.
constexpr std::uint64_t kFillApart = std::uint64_t{1} << 40;

void check_judge(const AutoregressiveModel& judge, std::span<const std::int64_t> ids) {
  for (const std::int64_t id : ids) {
    if (id < 0 || id >= judge.info().vocab_size)
      throw ConfigError("judge", judge.info().family,
                        fmt::format("a model with the vocabulary of the denoiser: id {} is outside "
                                    "its {}",
                                    id, judge.info().vocab_size));
  }
}

class RerankChoice final : public StepChoice {
 public:
  RerankChoice(const AutoregressiveModel& judge, const JudgedChoiceOptions& options)
      : judge_(judge), options_(options) {
    if (options.candidates < 1)
      throw ConfigError("candidates", std::to_string(options.candidates), "at least 1");
  }

  std::vector<ChosenToken> choose(const ChoiceView& view) override {
    const std::vector<Ids> fills = draw_fills(view);
    std::vector<ScoringWindow> windows;
    for (const Ids& fill : fills) {
      ScoringWindow window;
      window.ids.assign(view.ids.begin(), view.ids.end());
      for (std::size_t i = 0; i < fill.size(); ++i)
        window.ids[static_cast<std::size_t>(view.begin + view.hidden[i])] = fill[i];
      check_judge(judge_, window.ids);
      window.first_scored = 1;
      windows.push_back(std::move(window));
    }
    const Ids& best = fills[least_nll(windows)];
    std::vector<ChosenToken> chosen;
    for (const std::int64_t position : view.ranked.first(static_cast<std::size_t>(view.count))) {
      const auto place = std::lower_bound(view.hidden.begin(), view.hidden.end(), position);
      chosen.push_back({position, best[static_cast<std::size_t>(place - view.hidden.begin())]});
    }
    return chosen;
  }

 private:
  std::vector<Ids> draw_fills(const ChoiceView& view) const {
    const RandomStream stream(options_.seed, Purpose::kTokenDraw, view.name.example,
                              view.name.replicate);
    std::vector<Ids> fills(static_cast<std::size_t>(options_.candidates));
    for (std::size_t i = 0; i < view.hidden.size(); ++i) {
      if (options_.filter.temperature == 0) {
        for (Ids& fill : fills) fill.push_back(argmax_token(view.logits[i]));
        continue;
      }
      const TokenLaw law = token_law(view.logits[i], options_.filter);
      const auto position = static_cast<std::uint64_t>(view.begin + view.hidden[i]);
      for (std::size_t c = 0; c < fills.size(); ++c) {
        const double u = stream.uniform(view.name.step, position + c * kFillApart);
        fills[c].push_back(draw_from(law, u).token);
      }
    }
    return fills;
  }

  std::size_t least_nll(std::span<const ScoringWindow> windows) const {
    const auto terms = judge_.token_nll(windows);
    std::size_t best = 0;
    double least = std::numeric_limits<double>::infinity();
    for (std::size_t c = 0; c < terms.size(); ++c) {
      double sum = 0;
      for (const double term : terms[c]) sum += term;
      if (sum < least) {
        least = sum;
        best = c;
      }
    }
    return best;
  }

  const AutoregressiveModel& judge_;
  JudgedChoiceOptions options_;
};

class VerifiedChoice final : public StepChoice {
 public:
  VerifiedChoice(const AutoregressiveModel& judge, const JudgedChoiceOptions& options)
      : judge_(judge), options_(options) {
    if (!(options.judge_share >= 0 && options.judge_share <= 1))
      throw ConfigError("judge_share", fmt::format("{}", options.judge_share), "in [0, 1]");
  }

  std::vector<ChosenToken> choose(const ChoiceView& view) override {
    const RandomStream noise(options_.seed, Purpose::kTokenDraw, view.name.example,
                             view.name.replicate);
    Ids text(view.ids.begin(), view.ids.end());
    std::vector<std::vector<double>> laws;
    Ids fill;
    for (std::size_t i = 0; i < view.hidden.size(); ++i) {
      laws.push_back(log_probabilities(view.logits[i]));
      const std::int64_t place = view.begin + view.hidden[i];
      fill.push_back(draw(laws.back(), noise, place));
      text[static_cast<std::size_t>(place)] = fill.back();
    }
    check_judge(judge_, text);
    const at::Tensor judged = judge_log_probabilities(text);
    std::vector<ChosenToken> chosen;
    for (std::size_t i = 0; i < view.hidden.size(); ++i) {
      const std::int64_t place = view.begin + view.hidden[i];
      const std::int64_t again = draw(mixture(laws[i], judged, place), noise, place);
      if (i > 0 && again != fill[i])
        break;
      chosen.push_back({view.hidden[i], again});
      if (again != fill[i])
        break;
    }
    return chosen;
  }

 private:
  static std::vector<double> log_probabilities(std::span<const float> logits) {
    const double largest = logits[static_cast<std::size_t>(argmax_token(logits))];
    double sum = 0;
    for (const float logit : logits) sum += std::exp(logit - largest);
    std::vector<double> law;
    for (const float logit : logits) law.push_back(logit - largest - std::log(sum));
    return law;
  }

  // (L, V') f32: row i is of the token behind the first i + 1.
  at::Tensor judge_log_probabilities(const Ids& text) const {
    const std::int64_t length = std::ssize(text);
    at::Tensor ids = at::empty({1, length}, at::kLong);
    std::copy(text.begin(), text.end(), ids.mutable_data_ptr<std::int64_t>());
    return at::log_softmax(judge_.logits(ids, {&length, 1})[0], 1).cpu().contiguous();
  }

  std::vector<double> mixture(const std::vector<double>& law, const at::Tensor& judged,
                              std::int64_t place) const {
    if (place == 0)  // nothing before it that the judge could read
      return law;
    const float* row = judged.const_data_ptr<float>() + (place - 1) * judged.size(1);
    std::vector<double> mixed(law.size());
    for (std::size_t v = 0; v < law.size(); ++v) {
      const bool known = static_cast<std::int64_t>(v) < judged.size(1);
      mixed[v] = known ? (1 - options_.judge_share) * law[v] +
                             options_.judge_share * static_cast<double>(row[v])
                       : -std::numeric_limits<double>::infinity();
    }
    return mixed;
  }

  // argmax of log p / temperature + Gumbel noise.
  std::int64_t draw(const std::vector<double>& law, const RandomStream& noise,
                    std::int64_t place) const {
    std::size_t best = 0;
    double largest = -std::numeric_limits<double>::infinity();
    for (std::size_t v = 0; v < law.size(); ++v) {
      if (std::isinf(law[v]) || static_cast<std::int64_t>(v) == options_.mask_id)
        continue;
      double score = law[v];
      if (options_.filter.temperature > 0) {
        const double u = noise.uniform(static_cast<std::uint64_t>(place), kFillApart + v);
        score = law[v] / options_.filter.temperature - std::log(-std::log(std::max(u, 1e-300)));
      }
      if (score > largest) {
        largest = score;
        best = v;
      }
    }
    return static_cast<std::int64_t>(best);
  }

  const AutoregressiveModel& judge_;
  JudgedChoiceOptions options_;
};

}  // namespace

std::unique_ptr<StepChoice> make_rerank_choice(const AutoregressiveModel& judge,
                                               const JudgedChoiceOptions& options) {
  return std::make_unique<RerankChoice>(judge, options);
}

std::unique_ptr<StepChoice> make_verified_choice(const AutoregressiveModel& judge,
                                                 const JudgedChoiceOptions& options) {
  return std::make_unique<VerifiedChoice>(judge, options);
}

}  // namespace dlm
