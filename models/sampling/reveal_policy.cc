#include "models/sampling/reveal_policy.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "harness/base/error.h"
#include "models/sampling/drawn_policies.h"
#include "models/sampling/reveal_schedule.h"

namespace dlm {
namespace {

using Positions = std::vector<std::int64_t>;

Positions all_of(const BlockState& state) {
  return {state.hidden.begin(), state.hidden.end()};
}

double hidden_share(const BlockState& state) {
  return static_cast<double>(state.hidden.size()) / static_cast<double>(state.hidden_at_start);
}

class FirstHitting final : public RevealPolicy {
 public:
  explicit FirstHitting(const RevealOptions& options) { (void)options; }

  bool reads_laws() const override { return false; }

  Reveal choose(const BlockState& state, const StepDraws& draws) const override {
    const auto n = static_cast<double>(state.hidden.size());
    // 1 - u is in (0, 1], so that the time stays positive.
    const double t = state.t * std::pow(1 - draws.uniform(1), 1 / n);
    return {{state.hidden[draws.below(state.hidden.size(), 0)]}, t};
  }

  std::vector<RevealOutcome> outcomes(const BlockState& state) const override {
    std::vector<RevealOutcome> all;
    for (const std::int64_t position : state.hidden)
      all.push_back({{position}, 1 / static_cast<double>(state.hidden.size())});
    return all;
  }
};

class Ancestral final : public RevealPolicy {
 public:
  explicit Ancestral(const RevealOptions& options) : steps_(options.steps) {}

  bool reads_laws() const override { return false; }

  Reveal choose(const BlockState& state, const StepDraws& draws) const override {
    const double left = static_cast<double>(steps_ - state.step);
    Reveal reveal{{}, left / static_cast<double>(steps_)};
    for (const std::int64_t position : state.hidden) {
      if (draws.uniform(static_cast<std::uint64_t>(position)) * left < 1)
        reveal.positions.push_back(position);
    }
    return reveal;
  }

  std::vector<RevealOutcome> outcomes(const BlockState& state) const override {
    return independent_outcomes(state, 1 / static_cast<double>(steps_ - state.step));
  }

 private:
  std::int64_t steps_;
};

class AncestralReference final : public RevealPolicy {
 public:
  explicit AncestralReference(const RevealOptions& options) : steps_(options.steps) {}

  bool reads_laws() const override { return false; }

  Reveal choose(const BlockState& state, const StepDraws& draws) const override {
    if (source(state) == TokenSource::kLowestOutside)
      return {all_of(state), 0};
    Reveal reveal{{}, time(state)};
    for (const std::int64_t position : state.hidden) {
      if (draws.uniform(static_cast<std::uint64_t>(position)) < chance(state))
        reveal.positions.push_back(position);
    }
    return reveal;
  }

  std::vector<RevealOutcome> outcomes(const BlockState& state) const override {
    if (source(state) == TokenSource::kLowestOutside)
      return {{all_of(state), 1}};
    return independent_outcomes(state, chance(state));
  }

  TokenSource source(const BlockState& state) const override {
    return steps_ > 1 && state.step + 1 == steps_ ? TokenSource::kLowestOutside : TokenSource::kLaw;
  }

 private:
  double time(const BlockState& state) const {
    return steps_ == 1 ? 1 : 1 - static_cast<double>(state.step) / static_cast<double>(steps_ - 1);
  }

  double chance(const BlockState& state) const {
    return 1 / (static_cast<double>(steps_) * time(state));
  }

  std::int64_t steps_;
};

class RandomOrder final : public RevealPolicy {
 public:
  explicit RandomOrder(const RevealOptions& options) : schedule_(options) {}

  bool reads_laws() const override { return false; }

  // The first places of a Fisher-Yates shuffle.
  Reveal choose(const BlockState& state, const StepDraws& draws) const override {
    Positions order = all_of(state);
    const auto count = static_cast<std::size_t>(schedule_.at(state));
    for (std::size_t i = 0; i < count; ++i)
      std::swap(order[i], order[i + draws.below(order.size() - i, i)]);
    order.resize(count);
    return {std::move(order), hidden_share(state)};
  }

  std::vector<RevealOutcome> outcomes(const BlockState& state) const override {
    const auto count = static_cast<std::size_t>(schedule_.at(state));
    std::vector<RevealOutcome> all;
    std::vector<bool> taken(state.hidden.size(), false);
    std::fill(taken.begin(), taken.begin() + static_cast<std::ptrdiff_t>(count), true);
    do {
      RevealOutcome outcome;
      for (std::size_t i = 0; i < taken.size(); ++i) {
        if (taken[i])
          outcome.positions.push_back(state.hidden[i]);
      }
      all.push_back(std::move(outcome));
    } while (std::prev_permutation(taken.begin(), taken.end()));
    for (RevealOutcome& outcome : all) outcome.probability = 1 / static_cast<double>(all.size());
    return all;
  }

  std::vector<RevealOutcome> ordered_outcomes(const BlockState& state) const override {
    std::vector<RevealOutcome> all;
    for (RevealOutcome& outcome : outcomes(state)) {
      do {
        all.push_back(outcome);
      } while (std::next_permutation(outcome.positions.begin(), outcome.positions.end()));
    }
    for (RevealOutcome& outcome : all) outcome.probability = 1 / static_cast<double>(all.size());
    return all;
  }

 private:
  RevealSchedule schedule_;
};

class LeftToRight final : public RevealPolicy {
 public:
  explicit LeftToRight(const RevealOptions& options) : schedule_(options) {}

  bool reads_laws() const override { return false; }

  Reveal choose(const BlockState& state, const StepDraws& draws) const override {
    (void)draws;
    return {first(state), hidden_share(state)};
  }

  std::vector<RevealOutcome> outcomes(const BlockState& state) const override {
    return {{first(state), 1}};
  }

 private:
  Positions first(const BlockState& state) const {
    const auto head = state.hidden.first(static_cast<std::size_t>(schedule_.at(state)));
    return {head.begin(), head.end()};
  }

  RevealSchedule schedule_;
};

using Score = double (*)(const TokenLaw&);

double confidence(const TokenLaw& law) {
  return top_two(law).first;
}

double lead(const TokenLaw& law) {
  const TopTwo top = top_two(law);
  return top.first - top.second;
}

template <Score kScore>
class MostCertain final : public RevealPolicy {
 public:
  explicit MostCertain(const RevealOptions& options) : schedule_(options) {}

  bool reads_laws() const override { return true; }

  double score(const TokenLaw& law) const override { return kScore(law); }

  bool idles(const BlockState& state) const override { return schedule_.at(state) == 0; }

  std::int64_t count(const BlockState& state, std::span<const double> scores) const override {
    (void)scores;
    return schedule_.at(state);
  }

 private:
  RevealSchedule schedule_;
};

class Threshold final : public RevealPolicy {
 public:
  explicit Threshold(const RevealOptions& options)
      : threshold_(options.threshold), steps_(options.steps) {}

  bool reads_laws() const override { return true; }

  double score(const TokenLaw& law) const override { return confidence(law); }

  std::int64_t count(const BlockState& state, std::span<const double> scores) const override {
    const auto sure = std::count_if(scores.begin(), scores.end(),
                                    [this](double score) { return score > threshold_; });
    return std::max<std::int64_t>(1, std::min<std::int64_t>(sure, most(state)));
  }

 private:
  // What steps up to this one may have revealed, less what they have.
  std::int64_t most(const BlockState& state) const {
    const std::int64_t left = std::ssize(state.hidden);
    if (steps_ == 0 || state.step + 1 >= steps_)
      return left;
    const std::int64_t share = (state.step + 1) * (state.hidden_at_start / steps_);
    return share - (state.hidden_at_start - left);
  }

  double threshold_;
  std::int64_t steps_;
};

// Which options a policy reads.
enum class Pace { kOne, kSteps, kEither, kThreshold, kFactor };

struct PolicyEntry {
  const char* name;
  Pace pace;
  std::unique_ptr<RevealPolicy> (*make)(const RevealOptions&);
};

template <class Policy>
std::unique_ptr<RevealPolicy> make(const RevealOptions& options) {
  return std::make_unique<Policy>(options);
}

constexpr std::array kPolicies = {
    PolicyEntry{"first_hitting", Pace::kOne, make<FirstHitting>},
    PolicyEntry{"ancestral", Pace::kSteps, make<Ancestral>},
    PolicyEntry{"ancestral_reference", Pace::kSteps, make<AncestralReference>},
    PolicyEntry{"random", Pace::kEither, make<RandomOrder>},
    PolicyEntry{"left_to_right", Pace::kEither, make<LeftToRight>},
    PolicyEntry{"confidence", Pace::kEither, make<MostCertain<confidence>>},
    PolicyEntry{"entropy", Pace::kEither, make<MostCertain<negative_entropy>>},
    PolicyEntry{"margin", Pace::kEither, make<MostCertain<lead>>},
    PolicyEntry{"threshold", Pace::kThreshold, make<Threshold>},
    PolicyEntry{"factor", Pace::kFactor, make_factor},
    PolicyEntry{"factor_reference", Pace::kFactor, make_factor_reference},
    PolicyEntry{"maskgit_plus", Pace::kEither, make_maskgit_plus},
    PolicyEntry{"low_confidence", Pace::kEither, make_low_confidence},
    PolicyEntry{"origin", Pace::kSteps, make_origin},
};

// Options that would do nothing.
void check_unread(const PolicyEntry& entry, const RevealOptions& options) {
  if (options.schedule != "exact" && entry.pace != Pace::kEither)
    throw ConfigError("schedule", options.schedule,
                      fmt::format("exact: the sampler {} has none", entry.name));
  if (!(options.position_temperature >= 0 && options.position_temperature < 1e6))
    throw ConfigError("position_temperature", fmt::format("{}", options.position_temperature),
                      "a number >= 0");
  if (options.position_temperature > 0 &&
      (entry.pace == Pace::kThreshold || entry.pace == Pace::kFactor))
    throw ConfigError("position_temperature", fmt::format("{}", options.position_temperature),
                      fmt::format("0: the sampler {} reveals what is certain enough, and drawn "
                                  "positions are not",
                                  entry.name));
}

void check_pace(const PolicyEntry& entry, const RevealOptions& options) {
  if (options.tokens_per_step < 1)
    throw ConfigError("tokens_per_step", fmt::to_string(options.tokens_per_step),
                      "an integer >= 1");
  if (options.steps < 0 || (options.steps == 0 && entry.pace == Pace::kSteps))
    throw ConfigError("steps", fmt::to_string(options.steps),
                      fmt::format("an integer >= 1 for the sampler {}", entry.name));
  const bool counts = entry.pace == Pace::kEither && options.steps == 0;
  if (!counts && options.tokens_per_step != 1)
    throw ConfigError(
        "tokens_per_step", fmt::to_string(options.tokens_per_step),
        options.steps > 0
            ? "1 where steps are given: they say how many a step reveals"
            : fmt::format("1: the sampler {} reveals as many as it finds", entry.name));
  if (options.steps > 0 && (entry.pace == Pace::kOne || entry.pace == Pace::kFactor))
    throw ConfigError("steps", fmt::to_string(options.steps),
                      fmt::format("0: the sampler {} takes as many as it needs", entry.name));
  if (entry.pace == Pace::kThreshold && !(options.threshold > 0 && options.threshold < 1))
    throw ConfigError("threshold", fmt::to_string(options.threshold), "a number in (0, 1)");
  check_unread(entry, options);
}

}  // namespace

std::vector<RevealOutcome> independent_outcomes(const BlockState& state, double reveal) {
  std::vector<RevealOutcome> outcomes;
  const std::size_t n = state.hidden.size();
  for (std::uint64_t subset = 0; subset < (std::uint64_t{1} << n); ++subset) {
    RevealOutcome outcome;
    for (std::size_t i = 0; i < n; ++i) {
      const bool revealed = ((subset >> i) & 1U) != 0;
      outcome.probability *= revealed ? reveal : 1 - reveal;
      if (revealed)
        outcome.positions.push_back(state.hidden[i]);
    }
    if (outcome.probability > 0)
      outcomes.push_back(std::move(outcome));
  }
  return outcomes;
}

bool RevealPolicy::reads_laws_at(const BlockState& state) const {
  (void)state;
  return reads_laws();
}

bool RevealPolicy::reads_draws() const {
  return false;
}

RankingLaw RevealPolicy::ranking_law() const {
  return RankingLaw::kFiltered;
}

bool RevealPolicy::idles(const BlockState& state) const {
  (void)state;
  return false;
}

double RevealPolicy::draw_score(const TokenLaw& law, std::int64_t token) const {
  DLM_CHECK(false, "a score of token {} of {} that is not read", token, law.tokens.size());
}

Reveal RevealPolicy::choose(const BlockState& state, const StepDraws& draws) const {
  (void)draws;
  DLM_CHECK(false, "positions of {} chosen without their laws", state.hidden.size());
}

std::vector<RevealOutcome> RevealPolicy::outcomes(const BlockState& state) const {
  DLM_CHECK(false, "outcomes of {} positions without their laws", state.hidden.size());
}

std::vector<RevealOutcome> RevealPolicy::ordered_outcomes(const BlockState& state) const {
  return outcomes(state);
}

double RevealPolicy::score(const TokenLaw& law) const {
  DLM_CHECK(false, "a score of a law of {} tokens that is not read", law.tokens.size());
}

std::int64_t RevealPolicy::count(const BlockState& state, std::span<const double> scores) const {
  DLM_CHECK(false, "{} positions, {} scores of laws that are not read", state.hidden.size(),
            scores.size());
}

TokenSource RevealPolicy::source(const BlockState& state) const {
  (void)state;
  return TokenSource::kLaw;
}

std::unique_ptr<RevealPolicy> make_reveal_policy(const RevealOptions& options) {
  for (const PolicyEntry& entry : kPolicies) {
    if (options.policy != entry.name)
      continue;
    check_pace(entry, options);
    auto policy = entry.make(options);
    if (options.position_temperature > 0 && !policy->reads_laws())
      throw ConfigError("position_temperature", fmt::format("{}", options.position_temperature),
                        fmt::format("0: the sampler {} does not rank positions", entry.name));
    return options.first_alone ? make_first_alone(std::move(policy)) : std::move(policy);
  }
  throw unknown_name("sampler", options.policy, reveal_policy_names());
}

std::vector<std::string> reveal_policy_names() {
  std::vector<std::string> names;
  for (const PolicyEntry& entry : kPolicies) names.emplace_back(entry.name);
  return names;
}

}  // namespace dlm
