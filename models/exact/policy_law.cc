#include "models/exact/policy_law.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <span>
#include <unordered_map>

#include "harness/base/error.h"
#include "models/sampling/token_law.h"

namespace dlm {
namespace {

constexpr double kMostStates = 16777216;  // 2^24

using Tokens = std::vector<std::int64_t>;
using States = std::unordered_map<std::uint64_t, double>;  // a text's number -> its probability

class LawWalk {
 public:
  LawWalk(const TabularWorld& world, const PolicyLawOptions& options, const RevealPolicy& policy)
      : world_(world), options_(options), policy_(policy), length_(world.info().max_length) {}

  std::vector<double> run(std::int64_t block_size) {
    States texts = {{number_of(Tokens(static_cast<std::size_t>(length_), -1)), 1.0}};
    for (begin_ = 0; begin_ < length_; begin_ += block_size) {
      size_ = block_size;
      texts = finish_block(std::move(texts));
    }
    std::vector<double> law;
    const auto cells = static_cast<std::size_t>(
        std::llround(std::pow(static_cast<double>(V()), static_cast<double>(length_))));
    law.resize(cells, 0.0);
    for (const auto& [number, probability] : texts) {
      const Tokens text = text_of(number);
      std::size_t cell = 0;
      for (const std::int64_t id : text)
        cell = cell * static_cast<std::size_t>(V()) + static_cast<std::size_t>(id);
      law[cell] += probability;
    }
    return law;
  }

 private:
  std::int64_t V() const { return world_.info().vocab_size; }

  std::uint64_t number_of(const Tokens& text) const {
    std::uint64_t number = 0;
    for (const std::int64_t id : text)
      number = number * static_cast<std::uint64_t>(V() + 1) + static_cast<std::uint64_t>(id + 1);
    return number;
  }

  Tokens text_of(std::uint64_t number) const {
    Tokens text(static_cast<std::size_t>(length_));
    for (std::size_t i = text.size(); i-- > 0; number /= static_cast<std::uint64_t>(V() + 1))
      text[i] = static_cast<std::int64_t>(number % static_cast<std::uint64_t>(V() + 1)) - 1;
    return text;
  }

  Tokens hidden_of(const Tokens& text) const {
    Tokens hidden;
    for (std::int64_t i = 0; i < size_; ++i) {
      if (text[static_cast<std::size_t>(begin_ + i)] < 0)
        hidden.push_back(i);
    }
    return hidden;
  }

  // Texts whose block is all hidden -> texts whose block is full.
  States finish_block(States texts) {
    States full;
    for (std::int64_t step = 0; !texts.empty(); ++step) {
      States next;
      for (const auto& [number, probability] : texts) {
        Tokens text = text_of(number);
        next_ = &next;
        spread_step(text, step, probability);
      }
      texts.clear();
      for (const auto& [number, probability] : next) {
        if (hidden_of(text_of(number)).empty())
          full[number] += probability;
        else
          texts[number] += probability;
      }
    }
    return full;
  }

  void spread_step(Tokens& text, std::int64_t step, double probability) {
    const Tokens hidden = hidden_of(text);
    const BlockState state{hidden, size_, step, 1};
    const auto known = std::span(text).first(static_cast<std::size_t>(begin_ + size_));
    conditionals_ = world_.conditionals(known);
    const auto outcomes = policy_.reads_laws() ? std::vector<RevealOutcome>{most_certain(state)}
                                               : policy_.outcomes(state);
    std::vector<TokenLaw> laws(static_cast<std::size_t>(size_));
    for (const std::int64_t position : hidden)
      laws[static_cast<std::size_t>(position)] =
          token_law_at(position, options_.filter, policy_.source(state));
    for (const RevealOutcome& outcome : outcomes)
      spread(text, outcome.positions, laws, probability * outcome.probability);
  }

  RevealOutcome most_certain(const BlockState& state) const {
    TokenFilter filter = options_.filter;
    if (filter.temperature == 0)
      filter.temperature = 1;
    std::vector<double> scores;
    for (const std::int64_t position : state.hidden)
      scores.push_back(policy_.score(token_law_at(position, filter, TokenSource::kLaw)));
    std::vector<std::size_t> order(scores.size());
    std::iota(order.begin(), order.end(), std::size_t{0});
    std::stable_sort(order.begin(), order.end(),
                     [&](std::size_t a, std::size_t b) { return scores[a] > scores[b]; });
    std::sort(scores.begin(), scores.end(), std::greater<>());
    RevealOutcome outcome;
    const auto count = static_cast<std::size_t>(policy_.count(state, scores));
    for (std::size_t i = 0; i < count; ++i) outcome.positions.push_back(state.hidden[order[i]]);
    return outcome;
  }

  TokenLaw token_law_at(std::int64_t position, const TokenFilter& filter,
                        TokenSource source) const {
    const auto row = static_cast<std::size_t>((begin_ + position) * V());
    TokenLaw law =
        filtered_law(std::span(conditionals_).subspan(row, static_cast<std::size_t>(V())), filter);
    if (source == TokenSource::kLaw)
      return law;
    std::int64_t lowest = 0;
    while (std::binary_search(law.tokens.begin(), law.tokens.end(), lowest)) ++lowest;
    return {{lowest < V() ? lowest : 0}, {1.0}, 0, 0};
  }

  // Tokens at `positions` are independent.
  void spread(Tokens& text, std::span<const std::int64_t> positions,
              const std::vector<TokenLaw>& laws, double probability) {
    if (positions.empty()) {
      (*next_)[number_of(text)] += probability;
      return;
    }
    const TokenLaw& law = laws[static_cast<std::size_t>(positions.front())];
    std::int64_t& place = text[static_cast<std::size_t>(begin_ + positions.front())];
    for (std::size_t i = 0; i < law.tokens.size(); ++i) {
      place = law.tokens[i];
      spread(text, positions.subspan(1), laws, probability * law.probabilities[i]);
    }
    place = -1;
  }

  const TabularWorld& world_;
  const PolicyLawOptions& options_;
  const RevealPolicy& policy_;
  std::int64_t length_;
  std::int64_t begin_ = 0;  // of the current block
  std::int64_t size_ = 1;
  std::vector<double> conditionals_;
  States* next_ = nullptr;
};

}  // namespace

std::vector<double> policy_law(const TabularWorld& world, const PolicyLawOptions& options) {
  check_token_filter(options.filter);
  const auto policy = make_reveal_policy(options.reveal);
  if (policy->reads_draws() || options.reveal.position_temperature > 0 ||
      options.reveal.first_alone || options.reveal.schedule != "exact")
    throw ConfigError("sampler", options.reveal.policy,
                      "one whose reveals follow from the laws alone, in even steps");
  const std::int64_t length = world.info().max_length;
  const std::int64_t block_size = options.block_size == 0 ? length : options.block_size;
  if (block_size < 1 || length % block_size != 0)
    throw ConfigError("block_size", fmt::to_string(options.block_size),
                      fmt::format("a divisor of the length {}", length));
  const double states =
      std::pow(static_cast<double>(world.info().vocab_size + 1), static_cast<double>(length));
  if (states > kMostStates)
    throw ConfigError("world", world.spec(), fmt::format("(v + 1)^l at most {}", kMostStates));
  return LawWalk(world, options, *policy).run(block_size);
}

double kl_divergence(const std::vector<double>& p, const std::vector<double>& q) {
  DLM_CHECK(p.size() == q.size(), "laws of {} and {} texts", p.size(), q.size());
  double sum = 0;
  for (std::size_t i = 0; i < p.size(); ++i) {
    if (p[i] > 0)
      sum += q[i] > 0 ? p[i] * std::log(p[i] / q[i]) : std::numeric_limits<double>::infinity();
  }
  return sum;
}

std::vector<double> joint_law(const TabularWorld& world) {
  const auto V = static_cast<std::size_t>(world.info().vocab_size);
  Tokens text(static_cast<std::size_t>(world.info().max_length), 0);
  std::vector<double> law;
  while (true) {
    law.push_back(std::exp(world.log_probability(text)));
    std::size_t i = text.size();
    while (i > 0 && ++text[i - 1] == static_cast<std::int64_t>(V)) text[--i] = 0;
    if (i == 0)
      return law;
  }
}

MetricDefinition kl_to_joint_definition() {
  return {"kl_to_joint", "nats", "lo", "enumerated",
          "KL(joint law of a whole text || law of the sampler's output)"};
}

}  // namespace dlm
