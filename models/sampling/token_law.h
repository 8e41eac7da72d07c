// The law a token is drawn from, held as the tokens it can still be, and a draw that knows how
// close it came to another token. For large vocabularies: no sort but of what decides the nucleus.
// Torch-free.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "models/sampling/token_filter.h"

namespace dlm {

struct TokenLaw {
  std::vector<std::int64_t> tokens;   // ascending
  std::vector<double> probabilities;  // of them: sum to 1
  std::int64_t best = 0;              // the most probable token, the lowest of equals
  // How far, in probability, the filter was from keeping other tokens; infinite where it decided
  // nothing.
  double margin = 0;
};

// The law that `filter` makes of softmax(logits); temperature > 0. Throws as argmax_token.
TokenLaw token_law(std::span<const float> logits, const TokenFilter& filter);

// The same filter on a law in double, `probabilities` summing to 1. For laws too fine for f32
// logits.
TokenLaw filtered_law(std::span<const double> probabilities, const TokenFilter& filter);

// A token and how far the draw was from another: the distance of the uniform from the nearest end
// of the token's interval that another token follows, or the filter's margin where that is smaller.
struct DrawnToken {
  std::int64_t token = 0;
  double margin = 0;
};

// Inverse CDF in order of token ids, as draw_token.
DrawnToken draw_from(const TokenLaw& law, double uniform);

// draw_from(token_law(logits, filter), uniform), to rounding, without writing the law down: for
// draws whose law is not read otherwise.
DrawnToken draw_from_logits(std::span<const float> logits, const TokenFilter& filter,
                            double uniform);

// The two largest probabilities, the second 0 where there is one token.
struct TopTwo {
  double first = 0;
  double second = 0;
};

TopTwo top_two(const TokenLaw& law);

// Sum of p ln p: minus the entropy, nats.
double negative_entropy(const TokenLaw& law);

}  // namespace dlm
