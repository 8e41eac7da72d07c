#include "models/exact/markov.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <utility>

#include "harness/base/error.h"
#include "harness/base/random.h"
#include "models/exact/random_law.h"

namespace dlm {
namespace {

constexpr std::int64_t kMostStates = 256;

std::vector<double> random_transition(const MarkovSpec& spec) {
  if (spec.vocab_size < 2 || spec.vocab_size > kMostStates)
    throw ConfigError("v", fmt::to_string(spec.vocab_size), fmt::format("in [2, {}]", kMostStates));
  check_concentration(spec.concentration);
  const RandomStream stream(spec.seed, Purpose::kExactWorld, 0);
  const auto V = static_cast<std::size_t>(spec.vocab_size);
  std::vector<double> transition;
  transition.reserve(V * V);
  for (std::size_t s = 0; s < V; ++s) {
    const auto law = draw_dirichlet(stream, s * V, V, spec.concentration);
    transition.insert(transition.end(), law.begin(), law.end());
  }
  return transition;
}

// The number of states of a matrix of `values` elements.
std::size_t checked_states(std::size_t values) {
  for (std::size_t V = 2; V <= static_cast<std::size_t>(kMostStates); ++V) {
    if (V * V == values)
      return V;
  }
  throw ConfigError("transition", fmt::format("{} values", values),
                    fmt::format("v^2 values, v in [2, {}]", kMostStates));
}

ModelInfo markov_info(std::size_t states) {
  const auto V = static_cast<std::int64_t>(states);
  ModelInfo info;
  info.family = "markov";
  info.vocab_size = V;
  info.parameters = V * (V - 1);
  info.dtype = "f64";
  info.scores_first_token = true;
  return info;
}

// Stationary law by elimination without subtraction, so accurate in every entry. Source: Grassmann,
// Taksar and Heyman, "Regenerative analysis and steady state distributions for Markov chains",
// Operations Research 33 (1985).
std::vector<double> stationary_law(std::vector<double> p, std::size_t V) {
  for (std::size_t k = V - 1; k > 0; --k) {
    double out = 0;
    for (std::size_t j = 0; j < k; ++j) out += p[k * V + j];
    if (!(out > 0))
      throw ConfigError("transition", fmt::format("state {}", k),
                        "a chain in which every state leads to state 0");
    for (std::size_t i = 0; i < k; ++i) {
      p[i * V + k] /= out;
      for (std::size_t j = 0; j < k; ++j) p[i * V + j] += p[i * V + k] * p[k * V + j];
    }
  }
  std::vector<double> law = {1.0};
  for (std::size_t k = 1; k < V; ++k) {
    double mass = 0;
    for (std::size_t i = 0; i < k; ++i) mass += law[i] * p[i * V + k];
    law.push_back(mass);
  }
  const double total = std::accumulate(law.begin(), law.end(), 0.0);
  for (double& x : law) x /= total;
  return law;
}

// Clears what a known token excludes. Unknown (-1) leaves the message as it is.
void observe(std::span<double> message, std::int64_t token) {
  for (std::size_t v = 0; token >= 0 && v < message.size(); ++v) {
    if (v != static_cast<std::size_t>(token))
      message[v] = 0;
  }
}

// Divides by the largest entry, so that the product of two messages cannot vanish by underflow
// alone; false where all are 0.
bool rescale(std::span<double> message) {
  const double largest = *std::max_element(message.begin(), message.end());
  for (double& x : message) x /= largest;
  return largest > 0;
}

}  // namespace

MarkovWorld::MarkovWorld(const MarkovSpec& spec)
    : MarkovWorld(fmt::format("exact:markov?v={}&seed={}&concentration={}", spec.vocab_size,
                              spec.seed, spec.concentration),
                  random_transition(spec), std::nullopt) {}

MarkovWorld::MarkovWorld(std::vector<double> transition, std::optional<std::vector<double>> initial)
    : MarkovWorld(fmt::format("exact:markov?v={}&transition={}&initial={}",
                              checked_states(transition.size()), digest_of(transition),
                              initial ? digest_of(*initial) : "stationary"),
                  std::move(transition), std::move(initial)) {}

MarkovWorld::MarkovWorld(std::string spec, std::vector<double>&& transition,
                         std::optional<std::vector<double>>&& initial)
    : ExactWorld(std::move(spec), markov_info(checked_states(transition.size()))),
      transition_(std::move(transition)) {
  const auto V = static_cast<std::size_t>(vocab_size());
  for (std::size_t s = 0; s < V; ++s) {
    check_and_normalise(fmt::format("transition row {}", s), {transition_.data() + s * V, V});
    row_entropy_.push_back(entropy_of(row(static_cast<std::int64_t>(s))));
  }
  stationary_ = stationary_law(transition_, V);
  starts_stationary_ = !initial.has_value();
  initial_ = initial ? std::move(*initial) : stationary_;
  if (initial_.size() != V)
    throw ConfigError("initial", fmt::format("{} values", initial_.size()),
                      fmt::format("v = {} values", V));
  check_and_normalise("initial", initial_);
}

std::span<const double> MarkovWorld::row(std::int64_t state) const {
  const auto V = static_cast<std::size_t>(vocab_size());
  return {transition_.data() + static_cast<std::size_t>(state) * V, V};
}

void MarkovWorld::step(std::span<const double> law, std::span<double> next) const {
  std::fill(next.begin(), next.end(), 0.0);
  for (std::size_t s = 0; s < law.size(); ++s) {
    if (law[s] == 0)
      continue;
    const auto out = row(static_cast<std::int64_t>(s));
    for (std::size_t v = 0; v < out.size(); ++v) next[v] += law[s] * out[v];
  }
}

double MarkovWorld::entropy_rate() const {
  return std::inner_product(stationary_.begin(), stationary_.end(), row_entropy_.begin(), 0.0);
}

double MarkovWorld::entropy(std::int64_t length) const {
  check_length(length);
  if (starts_stationary_)
    return entropy_of(initial_) + static_cast<double>(length - 1) * entropy_rate();
  double entropy = entropy_of(initial_);
  std::vector<double> law = initial_;
  std::vector<double> next(law.size());
  for (std::int64_t i = 1; i < length; ++i) {
    entropy += std::inner_product(law.begin(), law.end(), row_entropy_.begin(), 0.0);
    step(law, next);
    law.swap(next);
  }
  return entropy;
}

double MarkovWorld::log_probability(std::span<const std::int64_t> ids) const {
  check_ids("ids", ids, 0);
  double log_p = 0;
  for (std::size_t i = 0; i < ids.size(); ++i) {
    const std::span<const double> law = i == 0 ? initial_ : row(ids[i - 1]);
    log_p += std::log(law[static_cast<std::size_t>(ids[i])]);
  }
  return log_p;
}

void MarkovWorld::next_law_into(std::span<const std::int64_t> prefix, std::span<double> law) const {
  const std::span<const double> from = prefix.empty() ? initial_ : row(prefix.back());
  std::copy(from.begin(), from.end(), law.begin());
}

std::vector<double> MarkovWorld::conditionals(std::span<const std::int64_t> known) const {
  check_ids("known", known, -1);
  const auto V = static_cast<std::size_t>(vocab_size());
  std::vector<double> laws(known.size() * V);
  const auto at = [&](std::size_t i) { return std::span<double>(laws.data() + i * V, V); };
  // Forward: at(i) becomes p(x_i | known up to i), up to a factor.
  for (std::size_t i = 0; i < known.size(); ++i) {
    if (i == 0) {
      std::copy(initial_.begin(), initial_.end(), at(0).begin());
    } else {
      step(at(i - 1), at(i));
    }
    observe(at(i), known[i]);
    if (!rescale(at(i)))
      throw impossible_tokens("known", known);
  }
  // Backward: `after` is p(known after i | x_i), up to a factor, and multiplies in.
  std::vector<double> after(V, 1.0);
  std::vector<double> before(V);
  for (std::size_t i = known.size(); i-- > 0;) {
    const auto law = at(i);
    for (std::size_t v = 0; v < V; ++v) law[v] *= after[v];
    const double total = std::accumulate(law.begin(), law.end(), 0.0);
    DLM_CHECK(total > 0, "forward and backward messages disagree at {}", i);
    for (double& p : law) p /= total;
    if (i == 0)
      break;
    observe(after, known[i]);
    rescale(after);
    for (std::size_t s = 0; s < V; ++s) {
      const auto out = row(static_cast<std::int64_t>(s));
      before[s] = std::inner_product(out.begin(), out.end(), after.begin(), 0.0);
    }
    rescale(before);
    after.swap(before);
  }
  return laws;
}

}  // namespace dlm
