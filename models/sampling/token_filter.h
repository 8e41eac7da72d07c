// What is done to a row of logits before a token is drawn from it (token_law.h does it), its most
// probable token, and the draw from a law written down. Torch-free; laws are in double.
//
// Ties are broken by the lowest index everywhere: in the argmax, at the top-k cut and in the order
// in which the nucleus is filled.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace dlm {

// What happens to the token whose probability makes the cumulative sum cross p, tokens taken from
// the most probable down.
enum class NucleusRule {
  kKeep,  // kept: the smallest set whose mass reaches p. Source: Holtzman et al., arXiv:1904.09751;
          // transformers TopPLogitsWarper
  kDrop,  // dropped, so the mass kept is at most p (except that the top token always stays).
          // Source: bd3lms diffusion.py _nucleus_sample
};

// "keep" or "drop". Throws ConfigError naming `nucleus` for any other name, with the nearest known
// one.
NucleusRule parse_nucleus_rule(std::string_view name);

// After the temperature.
enum class FilterOrder {
  kTopKFirst,     // the nucleus is of what top-k left, renormalised. Source: transformers
  kNucleusFirst,  // top-k is of the nucleus. Source: Dream generation_utils.py sample_tokens
};

struct TokenFilter {
  double temperature = 1;  // logits / temperature; 0 = all mass on the argmax
  std::int64_t top_k = 0;  // tokens kept; 0 = all
  double nucleus_p = 1;    // in (0, 1]; 1 = all
  NucleusRule nucleus_rule = NucleusRule::kKeep;
  FilterOrder order = FilterOrder::kTopKFirst;
};

// Throws ConfigError naming the field where a value is not finite or not in its range.
void check_token_filter(const TokenFilter& filter);

// The largest logit's index. Throws InternalError naming the token where a logit is NaN or +inf,
// and where all are -inf (a logit of -inf is a token of probability 0); DLM_CHECKs that there is a
// logit.
std::int64_t argmax_token(std::span<const float> logits);

// Inverse CDF in index order: the first token whose cumulative probability exceeds uniform times
// the total, never one of probability 0. uniform in [0, 1); the total need not be 1 but is > 0.
std::int64_t draw_token(std::span<const double> probabilities, double uniform);

}  // namespace dlm
