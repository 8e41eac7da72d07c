#include "models/sampling/drawn_policies.h"

#include <algorithm>
#include <utility>

#include "harness/base/error.h"
#include "models/sampling/reveal_schedule.h"

namespace dlm {
namespace {

double probability_of(const TokenLaw& law, std::int64_t token) {
  const auto place = std::lower_bound(law.tokens.begin(), law.tokens.end(), token);
  if (place == law.tokens.end() || *place != token)
    return 0;
  return law.probabilities[static_cast<std::size_t>(place - law.tokens.begin())];
}

// Every hidden position draws its token; those whose tokens are the most probable keep them.
class MostProbableDraw final : public RevealPolicy {
 public:
  MostProbableDraw(const RevealOptions& options, RankingLaw law) : schedule_(options), law_(law) {}

  bool reads_laws() const override { return true; }

  bool reads_draws() const override { return true; }

  RankingLaw ranking_law() const override { return law_; }

  double draw_score(const TokenLaw& law, std::int64_t token) const override {
    return probability_of(law, token);
  }

  bool idles(const BlockState& state) const override { return schedule_.at(state) == 0; }

  std::int64_t count(const BlockState& state, std::span<const double> scores) const override {
    (void)scores;
    return schedule_.at(state);
  }

 private:
  RevealSchedule schedule_;
  RankingLaw law_;
};

class Origin final : public RevealPolicy {
 public:
  explicit Origin(const RevealOptions& options) : steps_(options.steps), eps_(options.eps) {
    if (!(eps_ >= 0 && eps_ < 1))
      throw ConfigError("eps", fmt::format("{}", eps_), "a number in [0, 1)");
  }

  bool reads_laws() const override { return false; }

  Reveal choose(const BlockState& state, const StepDraws& draws) const override {
    const auto share = static_cast<double>(dream_reveal_share(state.step, steps_, eps_));
    const double left = static_cast<double>(steps_ - state.step) / static_cast<double>(steps_);
    Reveal reveal{{}, std::max(left, eps_)};
    for (const std::int64_t position : state.hidden) {
      if (draws.uniform(static_cast<std::uint64_t>(position)) < share)
        reveal.positions.push_back(position);
    }
    return reveal;
  }

  std::vector<RevealOutcome> outcomes(const BlockState& state) const override {
    return independent_outcomes(state,
                                static_cast<double>(dream_reveal_share(state.step, steps_, eps_)));
  }

 private:
  std::int64_t steps_;
  double eps_;
};

enum class LastCandidate { kJudged, kFree };

class Factor final : public RevealPolicy {
 public:
  Factor(const RevealOptions& options, LastCandidate last) : factor_(options.factor), last_(last) {
    if (!(factor_ > 0 && factor_ < 1e6))
      throw ConfigError("factor", fmt::format("{}", factor_), "a number above 0");
  }

  bool reads_laws() const override { return true; }

  double score(const TokenLaw& law) const override { return top_two(law).first; }

  std::int64_t count(const BlockState& state, std::span<const double> scores) const override {
    (void)state;
    const std::int64_t all = std::ssize(scores);
    std::int64_t passing = 1;
    while (passing < all && passes(scores[static_cast<std::size_t>(passing)], passing + 1))
      ++passing;
    return last_ == LastCandidate::kFree && passing + 1 == all ? all : passing;
  }

 private:
  // The n-th most certain position: (n + 1)(1 - c) <= f.
  bool passes(double confidence, std::int64_t n) const {
    return static_cast<double>(n + 1) * (1 - confidence) <= factor_;
  }

  double factor_;
  LastCandidate last_;
};

class FirstAlone final : public RevealPolicy {
 public:
  explicit FirstAlone(std::unique_ptr<RevealPolicy> policy) : policy_(std::move(policy)) {}

  bool reads_laws() const override { return true; }

  bool reads_laws_at(const BlockState& state) const override {
    return state.step > 0 && policy_->reads_laws_at(state);
  }

  bool reads_draws() const override { return policy_->reads_draws(); }

  RankingLaw ranking_law() const override { return policy_->ranking_law(); }

  Reveal choose(const BlockState& state, const StepDraws& draws) const override {
    if (state.step > 0)
      return policy_->choose(state, draws);
    return {{state.hidden.front()}, 1};
  }

  double score(const TokenLaw& law) const override { return policy_->score(law); }

  double draw_score(const TokenLaw& law, std::int64_t token) const override {
    return policy_->draw_score(law, token);
  }

  bool idles(const BlockState& state) const override {
    return state.step > 0 && policy_->idles(state);
  }

  std::int64_t count(const BlockState& state, std::span<const double> scores) const override {
    return policy_->count(state, scores);
  }

  TokenSource source(const BlockState& state) const override { return policy_->source(state); }

 private:
  std::unique_ptr<RevealPolicy> policy_;
};

}  // namespace

std::unique_ptr<RevealPolicy> make_maskgit_plus(const RevealOptions& options) {
  return std::make_unique<MostProbableDraw>(options, RankingLaw::kFiltered);
}

std::unique_ptr<RevealPolicy> make_low_confidence(const RevealOptions& options) {
  return std::make_unique<MostProbableDraw>(options, RankingLaw::kModel);
}

std::unique_ptr<RevealPolicy> make_origin(const RevealOptions& options) {
  return std::make_unique<Origin>(options);
}

std::unique_ptr<RevealPolicy> make_factor(const RevealOptions& options) {
  return std::make_unique<Factor>(options, LastCandidate::kJudged);
}

std::unique_ptr<RevealPolicy> make_factor_reference(const RevealOptions& options) {
  return std::make_unique<Factor>(options, LastCandidate::kFree);
}

std::unique_ptr<RevealPolicy> make_first_alone(std::unique_ptr<RevealPolicy> policy) {
  return std::make_unique<FirstAlone>(std::move(policy));
}

}  // namespace dlm
