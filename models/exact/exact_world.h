// Models whose law is known in full: every probability, conditional and entropy is computed, not
// estimated. The truth that estimators, samplers and metrics are checked against, through the same
// interface as the networks. Torch-free header.
//
// All laws are in double and in nats; -1 stands for an unknown token.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "models/language_model.h"

namespace dlm {

class ConfigError;

class ExactWorld : public AutoregressiveModel {
 public:
  // --- the law; X_1 .. X_n are the first n tokens of a document ---

  // Canonical spec, e.g. "exact:markov?v=8&seed=1&concentration=1": the model's name and, hashed,
  // its identity in the run key. A world made from explicit numbers carries a digest of them, and
  // can not be made again from the string.
  const std::string& spec() const { return spec_; }

  // log p(X_1 = ids[0], .., X_n = ids[n-1]) in nats, n = ids.size() <= max_length; -inf where it
  // cannot happen. Throws ConfigError for an id outside [0, V) or too many of them.
  virtual double log_probability(std::span<const std::int64_t> ids) const = 0;

  // p(X_i = v | the known ones of X_1 .. X_n) for every i < n = known.size() and v: n x V
  // row-major, one-hot where known. Throws ConfigError for an id outside [-1, V), too many of them,
  // or known tokens of probability 0.
  virtual std::vector<double> conditionals(std::span<const std::int64_t> known) const = 0;

  // Row `position` of conditionals(known): V probabilities.
  std::vector<double> conditional(std::span<const std::int64_t> known, std::int64_t position) const;

  // p(X_{n+1} = v | X_1 .. X_n = prefix): V probabilities. Throws ConfigError for a bad id, a
  // prefix that is already a whole document, and (tabular) one of probability 0.
  std::vector<double> next_law(std::span<const std::int64_t> prefix) const;

  // p(X_i = v), i < length: length x V row-major.
  std::vector<double> marginals(std::int64_t length) const;

  // H(X_1 .. X_length) in nats; length in [1, max_length].
  virtual double entropy(std::int64_t length) const = 0;

  // entropy(length) / length: the expected nats per token of documents of that length, the first
  // token scored.
  double entropy_per_token(std::int64_t length) const;

  // Sum of H(X_i) minus entropy(length): what drawing all tokens independently from their marginals
  // gets wrong, in nats.
  double total_correlation(std::int64_t length) const;

  // Document number `example` of the corpus named by `seed`: token i by inverse CDF from
  // RandomStream(seed, Purpose::kCorpusDraw, example).uniform(i, 0). So it does not depend on what
  // else is drawn, and a longer document begins with the shorter one. Throws ConfigError for a
  // length outside [1, max_length].
  std::vector<std::int64_t> draw(std::uint64_t seed, std::uint64_t example,
                                 std::int64_t length) const;

  // --- AutoregressiveModel ---

  const ModelInfo& info() const override { return info_; }

  std::vector<std::vector<double>> token_nll(std::span<const ScoringWindow> windows) const override;

  // log p(x_{i+1} | x_1 .. x_i) as f32. The last row of a whole document (max_length tokens) is 0:
  // nothing follows it.
  at::Tensor logits(const at::Tensor& ids, std::span<const std::int64_t> lengths) const override;

  // Throws ConfigError: there are none.
  at::Tensor hidden_states(const at::Tensor& ids,
                           std::span<const std::int64_t> lengths) const override;

  // The cache is the ids so far.
  std::unique_ptr<KvCache> new_cache(std::int64_t batch, std::int64_t capacity) const override;

  at::Tensor next_logits(const at::Tensor& ids, std::span<const std::int64_t> lengths,
                         KvCache& cache) const override;

  PassCounts counts() const override;

 protected:
  ExactWorld(std::string spec, ModelInfo info);

  std::int64_t vocab_size() const { return info_.vocab_size; }

  // Throws ConfigError naming `field`: an id outside [lowest, V), or more than max_length of them.
  void check_ids(std::string_view field, std::span<const std::int64_t> ids,
                 std::int64_t lowest) const;

  // The error for tokens that cannot occur together.
  static ConfigError impossible_tokens(std::string_view field, std::span<const std::int64_t> ids);

  // Throws ConfigError naming `length` outside [1, max_length].
  void check_length(std::int64_t length) const;

  // next_law into `law`, of a prefix whose ids and length have been checked.
  virtual void next_law_into(std::span<const std::int64_t> prefix, std::span<double> law) const = 0;

 private:
  void check_window(const ScoringWindow& window) const;
  std::vector<double> window_nll(const ScoringWindow& window, std::size_t index) const;
  void write_next_logits(std::span<const std::int64_t> prefix, float* out) const;

  std::string spec_;
  ModelInfo info_;
  mutable PassCounts counts_;
};

// "exact:tabular?v=4&l=6&seed=3&concentration=0.5" (tabular.h), "exact:markov?v=8&seed=1"
// (markov.h) or "exact:grammar?brackets=4" (grammar.h); every key may be left out. Throws
// ConfigError for an unknown kind or key, with the nearest known one, for a key given twice and for
// a value outside its range.
std::unique_ptr<ExactWorld> make_exact_world(std::string_view spec);

}  // namespace dlm
