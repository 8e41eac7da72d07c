// A Markov source over V states, documents of any length.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "models/exact/exact_world.h"

namespace dlm {

struct MarkovSpec {
  std::int64_t vocab_size = 8;  // v, in [2, 256]
  std::uint64_t seed = 1;
  double concentration = 1;  // of each row of the transition matrix
};

class MarkovWorld : public ExactWorld {
 public:
  // Each row of the transition matrix drawn from the symmetric Dirichlet(concentration), from
  // (seed, Purpose::kExactWorld); starts in its stationary law. Throws ConfigError for a field out
  // of range.
  explicit MarkovWorld(const MarkovSpec& spec);

  // `transition` V x V row-major: row s is the law of the token after s. `initial` is the law of
  // the first token; without it the stationary law. Throws ConfigError where a row is no law, and
  // where some state does not lead to state 0 (the chain may then have no single stationary law).
  MarkovWorld(std::vector<double> transition, std::optional<std::vector<double>> initial);

  // The law pi with pi P = pi: V probabilities.
  const std::vector<double>& stationary() const { return stationary_; }

  // lim H(X_n | X_1 .. X_{n-1}) = sum_s pi_s H(row s), nats per token. Source: Cover and Thomas,
  // Elements of Information Theory, 2nd ed., theorem 4.2.4.
  double entropy_rate() const;

  double log_probability(std::span<const std::int64_t> ids) const override;

  // By one forward and one backward pass, O(n V^2), each message scaled to sum 1.
  std::vector<double> conditionals(std::span<const std::int64_t> known) const override;

  // H(X_1) + sum over i < length of E H(row X_i); H(pi) + (length - 1) entropy_rate() where it
  // starts in pi.
  double entropy(std::int64_t length) const override;

 protected:
  void next_law_into(std::span<const std::int64_t> prefix, std::span<double> law) const override;

 private:
  // References, so that the spec's digest is taken before anything is moved from.
  MarkovWorld(std::string spec, std::vector<double>&& transition,
              std::optional<std::vector<double>>&& initial);

  std::span<const double> row(std::int64_t state) const;

  // law x P, into `next`.
  void step(std::span<const double> law, std::span<double> next) const;

  std::vector<double> transition_;
  std::vector<double> stationary_;
  std::vector<double> initial_;
  bool starts_stationary_ = true;
  std::vector<double> row_entropy_;
};

}  // namespace dlm
