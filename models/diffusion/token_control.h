// Less Monte-Carlo error at no cost: the difficulty of each token, as the other replicates saw it,
// as a control variate.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace dlm {

// In a replicate g each maskable token l carries a total weight W_l over its masks, whose
// expectation is 1. So for any numbers c_l that do not depend on g's masks,
// Y_g - sum_l (W_l - 1) c_l has the mean of Y_g; and it varies less the better c_l predicts the
// token's -log p. c_l is the mean of the token's terms in the other replicates, drawn towards the
// mean of all tokens by one observation's worth (a token that they never masked has that mean).
//
// Replicates that correct each other are a little dependent, so the error that their spread tells
// is a little small: its square by 5 to 9 % with 2 replicates in blocks of 4, by 0 to 2 % in blocks
// of 16, by 0 to 6 % with 4 or 8 (Markov sources of 8 tokens, 20,000 documents of 16;
// SampledEstimatorsSlow.TellTheirOwnErrorButForAFewPercent). The error over documents is not
// touched. Corrections by earlier replicates alone would have none of that, and lose a quarter to
// two fifths of what the control takes off the variance (10.6, 23 and 32 % of it with 2, 4 and 8
// replicates in blocks of 4 become 6.6, 15 and 24 %).
class TokenControl {
 public:
  // `first` maskable position to `length`.
  TokenControl(std::int64_t length, std::int64_t first, std::int64_t replicates);

  // A term of the mask that carries `weight` in `replicate`.
  void add(std::int64_t replicate, std::int64_t position, double weight, double term);

  // What to subtract from each replicate's value.
  std::vector<double> corrections() const;

 private:
  std::size_t at(std::int64_t replicate, std::int64_t position) const {
    return static_cast<std::size_t>(replicate * length_ + position);
  }

  std::int64_t length_, first_, replicates_;
  std::vector<double> weight_, sum_;  // (replicates, length)
  std::vector<std::int64_t> count_;
};

}  // namespace dlm
