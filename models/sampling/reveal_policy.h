// Which hidden tokens of a block a step reveals: small plug-ins in one table. A policy knows
// nothing of models, batches or tokens. Torch-free.
//
// Some choose before the network runs (so that its head need only see those rows, and a step that
// reveals nothing needs no pass); others rank the hidden positions by the laws that the network
// gives.
//
// n tokens hidden when a block begins, K tokens per step, T steps of a block.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "harness/base/random.h"
#include "models/sampling/token_law.h"

namespace dlm {

struct RevealOptions {
  std::string policy = "first_hitting";
  std::int64_t tokens_per_step = 1;  // K; of the policies that reveal a fixed number
  std::int64_t steps = 0;            // T: of ancestral; of the others, 0 = as K says
  double threshold = 0.9;            // of "threshold", in (0, 1)
  std::string schedule = "exact";  // of those that K or T drives: exact, dream (reveal_schedule.h)
  double eps = 1e-3;               // of the schedule "dream" and of "origin": the last time
  double factor = 1;               // of "factor", > 0
  // Above 0, positions are drawn instead of ranked, without replacement, with weights exp(score /
  // this). Source: Dream generation_utils.py, alg_temp.
  double position_temperature = 0;
  bool first_alone = false;  // the first step of a block reveals its first hidden position alone.
                             // Source: Fast-dLLM generation_utils_block.py
};

// What a policy sees of a block on its way.
struct BlockState {
  std::span<const std::int64_t> hidden;  // positions, ascending; at least one
  std::int64_t hidden_at_start = 0;      // n
  std::int64_t step = 0;                 // steps this block has had
  double t = 1;                          // noise level of the step before; 1 when a block begins
};

// The random numbers of one step.
struct StepDraws {
  const RandomStream& stream;
  std::uint64_t step = 0;

  double uniform(std::uint64_t index) const { return stream.uniform(step, index); }

  std::uint64_t below(std::uint64_t bound, std::uint64_t index) const {
    return stream.below(bound, step, index);
  }
};

// Positions a step reveals, in the order they are revealed, and the noise level at which.
struct Reveal {
  std::vector<std::int64_t> positions;
  double t = 1;
};

// A reveal and how probable it is.
struct RevealOutcome {
  std::vector<std::int64_t> positions;
  double probability = 1;
};

// Where the tokens that a step reveals come from.
enum class TokenSource {
  kLaw,            // drawn
  kLowestOutside,  // the lowest token outside the nucleus, 0 where all are in it
};

// The law that ranks a position.
enum class RankingLaw {
  kFiltered,  // what tokens are drawn from; of temperature 0, that of temperature 1
  kModel,     // the network's own, without temperature and filter
};

class RevealPolicy {
 public:
  virtual ~RevealPolicy() = default;

  // Positions are ranked by laws of the network; else they are chosen without it.
  virtual bool reads_laws() const = 0;

  // The same of one step.
  virtual bool reads_laws_at(const BlockState& state) const;

  // reads_laws(): the score is of the token that the position has drawn, not of its law.
  virtual bool reads_draws() const;

  virtual RankingLaw ranking_law() const;

  // reads_laws(): this step reveals nothing, whatever the laws.
  virtual bool idles(const BlockState& state) const;

  // reads_draws(): the score of a position that drew `token`.
  virtual double draw_score(const TokenLaw& law, std::int64_t token) const;

  // Not reads_laws(): what this step reveals, perhaps nothing.
  virtual Reveal choose(const BlockState& state, const StepDraws& draws) const;

  // Not reads_laws(): all that choose may return, t aside. For laws known in full.
  virtual std::vector<RevealOutcome> outcomes(const BlockState& state) const;

  // The same with every order in which choose may return them, where that is not one: it matters
  // where a step's later tokens depend on its earlier ones.
  virtual std::vector<RevealOutcome> ordered_outcomes(const BlockState& state) const;

  // reads_laws(): positions of larger score are revealed first, the lowest of equals.
  virtual double score(const TokenLaw& law) const;

  // reads_laws(): how many positions this step reveals, at least 1, of hidden positions with these
  // scores, largest first.
  virtual std::int64_t count(const BlockState& state, std::span<const double> scores) const;

  virtual TokenSource source(const BlockState& state) const;
};

// Probabilities of every subset of the hidden positions, each revealed with chance `reveal`.
std::vector<RevealOutcome> independent_outcomes(const BlockState& state, double reveal);

// first_hitting   one position at a time, uniform, with the time at which the reverse process would
//                 reveal it. Source: Zheng et al., arXiv:2409.02908; bd3lms diffusion.py
//                 _ddpm_caching_update.
// ancestral       each position at each of T steps with the chance of the reverse process, times
//                 t_i = 1 - i/T, so that the last step reveals the rest.
// ancestral_reference  times linspace(1, 0, T) and steps of 1/T, as published: at the last one the
//                 chance is not a number, and what is hidden becomes the lowest token outside the
//                 nucleus. Source: bd3lms diffusion.py _semi_ar_sampler.
// random, left_to_right  K positions a step.
// confidence, entropy, margin  the K positions with the largest probability of a token, the least
//                 entropy, the largest distance between the two most probable tokens.
// threshold       all positions where a token's probability is above the threshold, at least one.
//                 Source: Wu et al., arXiv:2505.22618. With T steps, never more than a step's share
//                 of n and what earlier steps left of theirs. Source: Fast-dLLM dream/model/
//                 generation_utils.py, confidence_threshold.
// factor          the longest run of positions, the most certain first, of which the i-th has (i +
//                 1)(1 - probability) <= factor; at least one. Source: arXiv:2505.22618.
// factor_reference  where only the last hidden position fails, it is revealed too, as published.
//                 Source: Fast-dLLM llada/generate.py get_transfer_index_dynamic.
// maskgit_plus    every position draws its token; the K whose tokens are the most probable keep
//                 them. Source: Dream generation_utils.py.
// low_confidence  the same, ranked by the network's own law: temperature and filters do not enter.
//                 Source: LLaDA generate.py.
// origin          each position at each of T steps with the chance of the reverse process, times
//                 linspace(1, eps, T + 1), the last step the rest. Source: Dream
//                 generation_utils.py.
// With T steps instead of K (the middle three and `random`, `left_to_right`), step i reveals n / T
// positions, the first n mod T steps one more. Source: LLaDA generate.py get_num_transfer_tokens.
//
// Throws ConfigError for an unknown policy, naming the nearest; for K < 1, T < 0 (T < 1 where the
// policy needs it), a threshold outside (0, 1), and for options that the policy does not read.
std::unique_ptr<RevealPolicy> make_reveal_policy(const RevealOptions& options);

std::vector<std::string> reveal_policy_names();

}  // namespace dlm
