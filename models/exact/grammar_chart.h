// What grammar.h's grammar says of a text of which only some tokens are known.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace dlm {

class GrammarWorld;

// Weights of all spans, filled from the narrow to the wide (inside), then their derivatives from
// the wide to the narrow (outside): a token's conditional is its share of the whole weight, which
// is linear in what each position may be.
//
// Shape legend: n tokens, K kinds, S is kind K.
class GrammarChart {
 public:
  // Throws ConfigError for more than 512 tokens.
  GrammarChart(const GrammarWorld& world, std::span<const std::int64_t> known);

  // n x 2K row-major, each row normalised.
  std::vector<double> conditionals();

 private:
  // A triangle of spans [begin, end), K + 1 values each.
  struct Spans {
    std::vector<double> values;
    std::int64_t n = 0, width = 0;

    Spans(std::int64_t tokens, std::int64_t values_of_span)
        : values(static_cast<std::size_t>((tokens + 1) * (tokens + 1) * values_of_span)),
          n(tokens),
          width(values_of_span) {}

    double* at(std::int64_t begin, std::int64_t end) {
      return values.data() + (begin * (n + 1) + end) * width;
    }
  };

  double may_be(std::int64_t position, std::int64_t token) const;
  double within(std::int64_t parent, std::int64_t kind) const;
  double closed(std::int64_t position, std::int64_t kind) const;

  void fill_inside();
  void fill_group(std::int64_t begin, std::int64_t end);
  void fill_content(std::int64_t begin, std::int64_t end);
  void fill_rest(std::int64_t begin);

  void spread_rest(std::int64_t begin);
  void spread_group(std::int64_t begin, std::int64_t end);
  void spread_content(std::int64_t begin, std::int64_t end);
  void add(std::int64_t position, std::int64_t token, double derivative);

  const GrammarWorld& world_;
  std::span<const std::int64_t> known_;
  std::int64_t n_, K_;
  double known_weight_ = 1;
  // Content of a bracket: groups one after another. Group: a bracket from open to close, in a
  // parent.
  Spans content_, group_, d_content_, d_group_;
  std::vector<double> rest_, d_rest_;  // (n + 1) x (K + 1): to the end, the parent never closed
  std::vector<double> closed_;         // n x K
  std::vector<double> d_tokens_;       // n x 2K
};

}  // namespace dlm
