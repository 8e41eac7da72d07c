// A joint law over V^L sequences, stored whole: V <= 8, L <= 10, at most 2^24 cells.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "models/exact/exact_world.h"

namespace dlm {

struct TabularSpec {
  std::int64_t vocab_size = 4;  // v, in [2, 8]
  std::int64_t length = 6;      // l, in [1, 10]
  std::uint64_t seed = 1;
  double concentration = 1;  // small: few sequences carry the mass; large: nearly uniform
};

class TabularWorld : public ExactWorld {
 public:
  // Joint law drawn from the symmetric Dirichlet(concentration) over all sequences, from (seed,
  // Purpose::kExactWorld). Throws ConfigError for a field out of range or v^l > 2^24.
  explicit TabularWorld(const TabularSpec& spec);

  // The joint law itself: `joint` has V^L probabilities, the cell of x_1 .. x_L at index
  // sum_i x_i V^(L-i) (the last token varies fastest). Throws ConfigError for another size, or
  // where they are no law.
  TabularWorld(std::int64_t vocab_size, std::int64_t length, std::vector<double> joint);

  double log_probability(std::span<const std::int64_t> ids) const override;
  std::vector<double> conditionals(std::span<const std::int64_t> known) const override;
  double entropy(std::int64_t length) const override;

 protected:
  void next_law_into(std::span<const std::int64_t> prefix, std::span<double> law) const override;

 private:
  // A reference, so that the spec's digest is taken before anything is moved from.
  TabularWorld(std::string spec, std::int64_t vocab_size, std::int64_t length,
               std::vector<double>&& joint);

  std::size_t cell(std::span<const std::int64_t> prefix) const;

  // prefix_mass_[n][cell of x_1 .. x_n] = p(x_1 .. x_n), n = 0 .. L.
  std::vector<std::vector<double>> prefix_mass_;
};

}  // namespace dlm
