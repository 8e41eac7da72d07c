// Likelihood of sequences under a denoiser: -log p(x) <= NELBO = sum over blocks of E_t E_mask
// [sum over masked tokens of -log p(token | rest) / t]. Source: arXiv:2503.09573, eq. 8.
//
// The same quantity in finite form, for a block of n maskable tokens: sum_k (1/k) mean over masks
// of k tokens of their summed -log p, which is also the mean over all n! reveal orders of the chain
// rule. At L' = 1 it is the exact likelihood.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "models/denoiser.h"

namespace dlm {

struct EstimatorOptions {
  // reference, stratified, enumerate, order; llada, dream (published_draws.h)
  std::string name = "stratified";
  std::int64_t block_size = 0;  // L'; 0 = the whole sequence is one block
  std::uint64_t seed = 1;

  // M, masks drawn for every block; `enumerate` and `order` have no draws.
  std::int64_t draws = 1;

  // Groups of draws that are independent of each other: what the Monte-Carlo error is told from.
  // Divides `draws`. 0 = for `reference` each draw is one; for `stratified`, whose draws of one
  // group share their strata, the smallest divisor of M above 1.
  std::int64_t replicates = 0;

  // Interval of the noise level t. -1 = the estimator's own: 1e-3 for `reference`, as published
  // (its mean is then off by less than 0.01 %), 0 for the others. Another interval than these two
  // gives the clipped loss, which bounds nothing. `order` has no noise level.
  double t_min = -1;
  double t_max = 1;

  // "clean": the first token is given and not scored (the published rule for BOS); "scored".
  std::string first_token = "clean";

  // reference: "rotated": the strata of t, one for each block, are shifted at random per sequence
  // and draw, so every sequence's estimate is unbiased; "published": stratum (row, block) of a
  // batch of `rows` sequences, row = example number mod `rows`: the published numbers, in which t
  // is tied to the row and rises with the block. llada: "published" rounds as published
  // (published_draws.h).
  std::string strata = "rotated";
  std::int64_t rows = 0;
  std::string schedule = "linear";  // reference only, noise_schedule.h

  // order: left_to_right, right_to_left, spread (bit-reversed), or the L' positions of a block
  // separated by commas; `reveal_per_step` tokens are revealed together.
  std::string reveal_order = "left_to_right";
  std::int64_t reveal_per_step = 1;

  // Work per call of the model, in positions; changes no result of a model whose terms do not
  // depend on their company.
  std::int64_t encode_positions = 1 << 14;
  std::int64_t chunk_positions = 1 << 14;
};

// A mask to be evaluated: weight times the terms of its scored tokens counts towards `replicate`.
struct WeightedQuery {
  MaskQuery query;
  double weight = 1;
  std::int64_t replicate = 0;
  std::vector<std::uint8_t> scored;  // one flag for each masked position; empty = all
};

// A sequence as the estimators see it: which masks to draw depends on nothing else.
struct SequenceShape {
  std::int64_t sequence = 0;  // index into the encoded sequences
  std::uint64_t example = 0;
  std::int64_t length = 0;
  std::int64_t block_size = 0;
  bool is_first_scored = false;

  std::int64_t blocks() const { return length / block_size; }
};

class Estimator {
 public:
  using Sink = std::function<void(WeightedQuery)>;

  virtual ~Estimator() = default;

  // Hands the sequence's masks to `sink`, in an order that depends on nothing but the shape.
  virtual void plan(const SequenceShape& shape, const Sink& sink) const = 0;

  // Independent replicates; 0 = there is no Monte-Carlo error, and the masks are one whole.
  virtual std::int64_t replicates() const = 0;

  // Masks drawn for every block by all replicates together: passes over a sequence. For
  // `enumerate` and `order`, which draw none, those of a block of n tokens.
  virtual std::int64_t passes(std::int64_t n) const = 0;

  // Tokens of the sequence that a mask can hide: those that its value is the sum over.
  virtual std::int64_t scored_tokens(const SequenceShape& shape) const;
};

// Throws ConfigError for an unknown name or an option out of range; an option that the estimator
// does not read must stand at its default. `loss` is the model's: score entropy depends on the
// noise level, so only `reference` fits it.
std::unique_ptr<Estimator> make_estimator(const EstimatorOptions& options,
                                          DenoiserLoss loss = DenoiserLoss::kMaskedCrossEntropy);

std::vector<std::string> estimator_names();

// What was estimated for one sequence.
struct SequenceEstimate {
  double nats = 0;           // mean over replicates of the sum over scored tokens
  std::int64_t tokens = 0;   // scored
  double m2 = 0;             // sum over replicates of (replicate's nats - nats)^2
  std::int64_t n_mc = 0;     // independent replicates; 0 = exact, 1 = error unknown
  std::int64_t queries = 0;  // masks evaluated, each of one block
  std::int64_t masked = 0;   // their hidden tokens: rows of the head
};

struct LikelihoodEstimates {
  std::vector<SequenceEstimate> sequences;
  PassCounts clean;  // encoding, once for each sequence
  PassCounts draws;  // all masks together
};

// Sequence i is example number examples[i], which names its random draws. Sequences may differ in
// length; runs of equal length are encoded together, and all their masks go to the model in calls
// of about chunk_positions. Each length must be a multiple of L'. Throws ConfigError for a sequence
// or an option that does not fit, InternalError for a term that is not finite.
LikelihoodEstimates estimate_likelihood(const Denoiser& denoiser,
                                        std::span<const std::vector<std::int64_t>> sequences,
                                        std::span<const std::uint64_t> examples,
                                        const EstimatorOptions& options);

// What the estimated number is.
enum class LikelihoodKind {
  kExact,    // -log p of the model (L' = 1), or of the sampler with this reveal order
  kBound,    // NELBO
  kClipped,  // the loss on another interval of t, or one that is not the NELBO for another reason:
             // `dream`, `llada` rounded as published, a schedule whose tokens weigh less than 1
};

// Exact and bound hold up to the published lowest t of 1e-3, which moves the mean by less than 0.01
// %, and a total weight of a token (mean_token_weight) that is as close to 1; one further above it
// leaves a bound.
LikelihoodKind likelihood_kind(const EstimatorOptions& options, DenoiserLoss loss);

// SHA-256 over all that decides the masks. Two runs with one key on the same documents drew the
// same masks, so their rows differ by the models alone and pair.
std::string pairing_key(const EstimatorOptions& options);

// With the -1 of t_min and the 0 of replicates replaced by what they stand for.
EstimatorOptions resolved_options(const EstimatorOptions& options);

}  // namespace dlm
