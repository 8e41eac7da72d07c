// Nested brackets: a context-free source, documents of any length. What closes a bracket was
// decided as far back as the bracket is wide, which no chain of fixed memory knows.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "models/exact/exact_world.h"

namespace dlm {

struct GrammarSpec {
  std::int64_t brackets = 4;  // K kinds of them, in [1, 64]
  double open = 0.45;         // chance that a bracket opens within another, in (0, 1)
  double error = 0.01;        // share of closing tokens that are wrong, in (0, 1)
  std::uint64_t seed = 1;
  double concentration = 1;  // of each law of the kind that opens within a kind
};

// Tokens 0 .. K-1 open a bracket of that kind, K .. 2K-1 close one. The grammar, with one
// derivation for every text, so that no text is impossible:
//   S   -> open_b C_b S    (1 - error) T(S, b)      S   -> close_c S    error / K
//   C_a -> open_b C_b C_a  open T(a, b)             C_a -> close_c      (1 - open) M(a, c)
// M(a, a) = 1 - error, what is left shared by the other kinds (K = 1: M = 1). A document is the
// beginning of an S that never ends.
class GrammarWorld : public ExactWorld {
 public:
  // Each row of T drawn from the symmetric Dirichlet(concentration), from (seed,
  // Purpose::kExactWorld). Throws ConfigError for a field out of range.
  explicit GrammarWorld(const GrammarSpec& spec);

  double log_probability(std::span<const std::int64_t> ids) const override;

  // By the inside-outside algorithm, O(n^3 K + n^2 K^2) and 32 n^2 K bytes; n <= 512. Source: Lari
  // and Young, "The estimation of stochastic context-free grammars using the inside-outside
  // algorithm", Computer Speech and Language 4 (1990).
  std::vector<double> conditionals(std::span<const std::int64_t> known) const override;

  // The depth of brackets is a chain of its own, and the kind that lies at depth d has the law
  // T(S, .) T^(d-1) whatever the depths before: so the sum over tokens of the entropy of the next
  // one is exact, O(length^2 + length K^2).
  double entropy(std::int64_t length) const override;

 protected:
  void next_law_into(std::span<const std::int64_t> prefix, std::span<double> law) const override;

 private:
  friend class GrammarChart;

  std::int64_t kinds() const { return spec_.brackets; }

  bool closes(std::int64_t token) const { return token >= spec_.brackets; }

  // T(parent, .); the parent `kinds()` is S.
  std::span<const double> opened(std::int64_t parent) const;

  // M(kind, .).
  double closed_by(std::int64_t kind, std::int64_t other) const;

  // p(token | the brackets that are open).
  double token_probability(const std::vector<std::int64_t>& open, std::int64_t token) const;

  void read(std::int64_t token, std::vector<std::int64_t>& open) const;

  GrammarSpec spec_;
  std::vector<double> kinds_opened_;  // (K + 1) x K
};

}  // namespace dlm
