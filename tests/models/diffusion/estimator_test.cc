// Likelihood estimates on exact worlds: enumeration against the chain rule, limits of the block
// size, independence of batches, keys and refusals.
#include "models/diffusion/estimator.h"

#include <algorithm>
#include <cmath>

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <omp.h>

#include "harness/base/error.h"
#include "models/diffusion/query_queue.h"
#include "tests/models/diffusion/worlds.h"

namespace dlm {
namespace {

using testing::documents_of;
using testing::estimate;
using testing::Ids;
using testing::true_nats;

EstimatorOptions named(const std::string& name, std::int64_t block_size) {
  EstimatorOptions options;
  options.name = name;
  options.block_size = block_size;
  options.first_token = "scored";
  return options;
}

std::string refusal(EstimatorOptions options,
                    DenoiserLoss loss = DenoiserLoss::kMaskedCrossEntropy) {
  try {
    make_estimator(options, loss);
  } catch (const ConfigError& error) {
    return error.what();
  }
  return "accepted";
}

// A perfect model's NELBO has no gap: each of the n! reveal orders gives -log p.
TEST(EnumerateEstimator, EqualsTheChainRuleAtEveryBlockSize) {
  for (const char* spec : {"exact:tabular?v=3&l=8&seed=2&concentration=0.3",
                           "exact:markov?v=5&seed=3&concentration=0.5"}) {
    const auto denoiser = make_exact_denoiser(spec);
    for (std::int64_t block_size = 1; block_size <= 8; ++block_size) {
      // The tabular world is 8 long: one or two blocks where they fit, else one.
      const std::int64_t length = block_size <= 4 ? 2 * block_size : block_size;
      const auto texts = documents_of(denoiser->world(), 5, length);
      for (const char* first_token : {"scored", "clean"}) {
        EstimatorOptions options = named("enumerate", block_size);
        options.first_token = first_token;
        const auto estimates = estimate(*denoiser, texts, options);
        for (std::size_t s = 0; s < texts.size(); ++s) {
          const SequenceEstimate& sequence = estimates.sequences[s];
          EXPECT_NEAR(sequence.nats, true_nats(denoiser->world(), texts[s], first_token), 1e-10)
              << spec << " L' " << block_size << " " << first_token;
          EXPECT_EQ(sequence.n_mc, 0);
          EXPECT_EQ(sequence.m2, 0);
          EXPECT_EQ(sequence.tokens, length - (options.first_token == "clean" ? 1 : 0));
        }
      }
    }
  }
}

TEST(EnumerateEstimator, EvaluatesEveryMaskOnce) {
  const auto denoiser = make_exact_denoiser("exact:markov?v=3&seed=1");
  EstimatorOptions options = named("enumerate", 4);
  options.first_token = "clean";
  const auto estimates = estimate(*denoiser, documents_of(denoiser->world(), 2, 12), options);
  EXPECT_EQ(estimates.sequences[0].queries, 7 + 15 + 15);
  EXPECT_EQ(estimates.clean.positions, 2 * 8);
  EXPECT_EQ(estimates.draws.positions, 2 * 37 * 4);
  EXPECT_EQ(estimates.draws.head_rows, 2 * (12 + 32 + 32));
}

TEST(EnumerateEstimator, RefusesTooManyMasksAndSaysHowMany) {
  const auto denoiser = make_exact_denoiser("exact:markov?v=3&seed=1");
  try {
    estimate(*denoiser, documents_of(denoiser->world(), 1, 16), named("enumerate", 16));
    FAIL() << "accepted";
  } catch (const ConfigError& error) {
    EXPECT_STREQ(error.what(),
                 "estimator = 'enumerate': blocks of at most 12 tokens: 16 tokens have 2^16 - 1 "
                 "masks, 6.55e+04 passes");
  }
}

// On another interval than the whole the enumerated loss is that of the published clipped one: its
// mean over t, by the midpoint rule, for a block of two tokens.
TEST(EnumerateEstimator, GivesTheClippedLossOnAnInterval) {
  const auto denoiser = make_exact_denoiser("exact:markov?v=4&seed=1");
  const std::vector<Ids> texts = {denoiser->world().draw(1, 0, 2)};
  const auto context = denoiser->encode(texts, 2);
  const std::vector<MaskQuery> queries = {{0, 0, {0}, 1}, {0, 0, {1}, 1}, {0, 0, {0, 1}, 1}};
  const auto terms = denoiser->token_terms(*context, queries);
  double expected = 0;
  constexpr int kCells = 100'000;
  for (int i = 0; i < kCells; ++i) {
    const double t = 0.3 + 0.5 * (i + 0.5) / kCells;
    expected += ((1 - t) * (terms[0][0] + terms[1][0]) + t * (terms[2][0] + terms[2][1])) / kCells;
  }
  EstimatorOptions options = named("enumerate", 2);
  options.t_min = 0.3;
  options.t_max = 0.8;
  EXPECT_NEAR(estimate(*denoiser, texts, options).sequences[0].nats, expected, 1e-8);
  EXPECT_EQ(likelihood_kind(options, DenoiserLoss::kMaskedCrossEntropy), LikelihoodKind::kClipped);
}

// L' = 1: every estimator is the autoregressive NLL, sample by sample; `reference` where t is 1.
TEST(Estimators, AreAutoregressiveAtBlockSizeOne) {
  const auto denoiser = make_exact_denoiser("exact:markov?v=8&seed=4");
  const auto texts = documents_of(denoiser->world(), 20, 16);
  std::vector<ScoringWindow> windows;
  for (const Ids& ids : texts) windows.push_back({ids, 0});
  const auto nll = denoiser->world().token_nll(windows);
  for (const std::string& name : estimator_names()) {
    if (name == "dream" || name == "llada")  // of the whole text, whatever the blocks
      continue;
    EstimatorOptions options = named(name, 1);
    if (name == "reference")
      options.t_min = 1;
    const auto estimates = estimate(*denoiser, texts, options);
    for (std::size_t s = 0; s < texts.size(); ++s) {
      const double expected = std::accumulate(nll[s].begin(), nll[s].end(), 0.0);
      EXPECT_NEAR(estimates.sequences[s].nats, expected, 1e-12) << name;
    }
    EXPECT_EQ(likelihood_kind(options, DenoiserLoss::kMaskedCrossEntropy), LikelihoodKind::kExact);
  }
}

// L' = L: one block is the whole sequence, as 0 says too.
TEST(Estimators, TakeZeroForTheWholeSequence) {
  const auto denoiser = make_exact_denoiser("exact:tabular?v=2&l=8&seed=4");
  const auto texts = documents_of(denoiser->world(), 3, 8);
  for (const std::string& name : estimator_names()) {
    const auto whole = estimate(*denoiser, texts, named(name, 0));
    const auto eight = estimate(*denoiser, texts, named(name, 8));
    EXPECT_EQ(whole.clean.passes, 0);
    for (std::size_t s = 0; s < texts.size(); ++s)
      EXPECT_EQ(whole.sequences[s].nats, eight.sequences[s].nats) << name;
  }
}

void expect_same(const LikelihoodEstimates& a, const LikelihoodEstimates& b) {
  ASSERT_EQ(a.sequences.size(), b.sequences.size());
  for (std::size_t s = 0; s < a.sequences.size(); ++s) {
    EXPECT_EQ(a.sequences[s].nats, b.sequences[s].nats) << s;
    EXPECT_EQ(a.sequences[s].m2, b.sequences[s].m2) << s;
    EXPECT_EQ(a.sequences[s].queries, b.sequences[s].queries) << s;
  }
}

// To the bit: one call of the model per query, everything in one call, each sequence alone,
// threads.
TEST(Estimators, DoNotDependOnBatchChunkOrThreads) {
  const auto denoiser = make_exact_denoiser("exact:markov?v=8&seed=6");
  const auto texts = documents_of(denoiser->world(), 9, 32);
  const int threads = omp_get_max_threads();
  for (const std::string& name : estimator_names()) {
    EstimatorOptions options = named(name, 8);
    options.draws = 6;
    omp_set_num_threads(1);
    const auto expected = estimate(*denoiser, texts, options);
    omp_set_num_threads(3);
    for (const std::int64_t positions : {1, 40, 1'000'000}) {
      options.chunk_positions = positions;
      options.encode_positions = positions;
      expect_same(expected, estimate(*denoiser, texts, options));
    }
    LikelihoodEstimates alone;
    alone.sequences.resize(texts.size());
    for (std::size_t s = texts.size(); s-- > 0;) {
      const auto one = estimate_likelihood(*denoiser, std::span(texts).subspan(s, 1),
                                           testing::numbers(1, s), options);
      alone.sequences[s] = one.sequences[0];
    }
    expect_same(expected, alone);
  }
  omp_set_num_threads(threads);
}

TEST(Estimators, SendManyQueriesInOneCall) {
  const auto denoiser = make_exact_denoiser("exact:markov?v=4&seed=6");
  const auto texts = documents_of(denoiser->world(), 8, 32);
  EstimatorOptions options = named("stratified", 4);
  options.draws = 4;
  options.chunk_positions = 8 * 32 * 4;
  const auto estimates = estimate(*denoiser, texts, options);
  EXPECT_EQ(estimates.clean.passes, 1);
  EXPECT_EQ(estimates.draws.passes, 1);
  EXPECT_EQ(estimates.draws.positions, 8 * 32 * 4);
  options.chunk_positions = 8 * 32;
  EXPECT_EQ(estimate(*denoiser, texts, options).draws.passes, 4);
}

TEST(Estimators, TakeSequencesOfSeveralLengths) {
  const auto denoiser = make_exact_denoiser("exact:markov?v=4&seed=6");
  const ExactWorld& world = denoiser->world();
  const std::vector<Ids> texts = {world.draw(1, 0, 4), world.draw(1, 1, 8), world.draw(1, 2, 8)};
  const auto estimates = estimate(*denoiser, texts, named("enumerate", 4));
  for (std::size_t s = 0; s < texts.size(); ++s)
    EXPECT_NEAR(estimates.sequences[s].nats, -world.log_probability(texts[s]), 1e-10);
}

TEST(Estimators, HaveNothingToScoreInOneCleanToken) {
  const auto denoiser = make_exact_denoiser("exact:markov?v=4&seed=6");
  EstimatorOptions options = named("stratified", 1);
  options.first_token = "clean";
  const auto estimates = estimate(*denoiser, {{2}}, options);
  EXPECT_EQ(estimates.sequences[0].tokens, 0);
  EXPECT_EQ(estimates.sequences[0].nats, 0);
  EXPECT_EQ(estimates.sequences[0].queries, 0);
}

// A model whose terms are all one number.
class ConstantDenoiser : public Denoiser {
 public:
  ConstantDenoiser(double term, DenoiserLoss loss) : term_(term), loss_(loss) {
    info_.family = "constant";
    info_.vocab_size = 4;
  }

  const ModelInfo& info() const override { return info_; }

  DenoiserLoss loss() const override { return loss_; }

  std::int64_t mask_id() const override { return 4; }

  std::int64_t trained_block_size() const override { return 0; }

  std::unique_ptr<CleanContext> encode(std::span<const std::vector<std::int64_t>>,
                                       std::int64_t block_size) const override {
    return std::make_unique<Context>(block_size);
  }

  std::vector<std::vector<double>> token_terms(const CleanContext&,
                                               std::span<const MaskQuery> queries) const override {
    std::vector<std::vector<double>> terms;
    for (const MaskQuery& query : queries) terms.emplace_back(query.masked.size(), term_);
    return terms;
  }

  PassCounts counts() const override { return {}; }

 private:
  struct Context : CleanContext {
    explicit Context(std::int64_t size) : size_(size) {}

    std::int64_t block_size() const override { return size_; }

    std::int64_t size_;
  };

  double term_;
  DenoiserLoss loss_;
  ModelInfo info_;
};

// Weight n / k on k equal terms: each draw of `stratified` is exact, while `reference` is not.
TEST(StratifiedEstimator, HasNoErrorWhereAllTermsAreEqual) {
  const ConstantDenoiser denoiser(2, DenoiserLoss::kMaskedCrossEntropy);
  EstimatorOptions options = named("stratified", 4);
  options.draws = 6;
  const auto stratified = estimate(denoiser, {Ids(16, 0)}, options).sequences[0];
  EXPECT_NEAR(stratified.nats, 32, 1e-12);
  EXPECT_NEAR(stratified.m2, 0, 1e-20);
  options.name = "reference";
  EXPECT_GT(estimate(denoiser, {Ids(16, 0)}, options).sequences[0].m2, 1);
}

TEST(Estimators, WeighAScoreEntropyByOne) {
  const ConstantDenoiser denoiser(2, DenoiserLoss::kScoreEntropy);
  EstimatorOptions options = named("reference", 4);
  options.t_min = 0.5;
  options.t_max = 0.5;
  const ConstantDenoiser other(2, DenoiserLoss::kMaskedCrossEntropy);
  const double plain = estimate(denoiser, {Ids(16, 0)}, options).sequences[0].nats;
  EXPECT_GT(plain, 0);
  EXPECT_DOUBLE_EQ(estimate(other, {Ids(16, 0)}, options).sequences[0].nats, 2 * plain);
  EXPECT_EQ(likelihood_kind(named("reference", 1), DenoiserLoss::kScoreEntropy),
            LikelihoodKind::kBound);
}

TEST(Estimators, NameATermThatIsNotFinite) {
  const ConstantDenoiser denoiser(NAN, DenoiserLoss::kMaskedCrossEntropy);
  try {
    estimate(denoiser, {Ids(8, 0)}, named("order", 4));
    FAIL() << "accepted";
  } catch (const InternalError& error) {
    EXPECT_NE(std::string(error.what()).find("constant: a term of sequence 0, block 0 is nan"),
              std::string::npos)
        << error.what();
  }
}

// m2 and n_mc as the store keeps them: six replicates of one draw each, one by one.
TEST(Estimators, ReportTheSpreadOfReplicates) {
  const auto denoiser = make_exact_denoiser("exact:markov?v=8&seed=6");
  const auto texts = documents_of(denoiser->world(), 1, 16);
  EstimatorOptions options = named("reference", 4);
  options.draws = 6;
  const SequenceEstimate all = estimate(*denoiser, texts, options).sequences[0];
  EXPECT_EQ(all.n_mc, 6);
  options.draws = 1;
  const SequenceEstimate first = estimate(*denoiser, texts, options).sequences[0];
  EXPECT_EQ(first.n_mc, 1);
  EXPECT_EQ(first.m2, 0);
  options.draws = 6;
  options.replicates = 2;
  const SequenceEstimate pair = estimate(*denoiser, texts, options).sequences[0];
  EXPECT_EQ(pair.n_mc, 2);
  EXPECT_NEAR(pair.nats, all.nats, 1e-12);
  EXPECT_GT(all.m2, 0);
  EXPECT_EQ(resolved_options(named("stratified", 4)).replicates, 1);
  options = named("stratified", 4);
  options.draws = 15;
  EXPECT_EQ(resolved_options(options).replicates, 3);
  options.draws = 8;
  EXPECT_EQ(resolved_options(options).replicates, 2);
  options.draws = 7;
  EXPECT_EQ(resolved_options(options).replicates, 7);
}

TEST(Estimators, KeyNamesAllThatDecidesTheMasks) {
  const EstimatorOptions base = resolved_options(named("reference", 4));
  const std::string key = pairing_key(base);
  EXPECT_EQ(key.size(), 64U);
  EXPECT_EQ(key, pairing_key(named("reference", 4)));
  EstimatorOptions same = base;
  same.chunk_positions = 7;
  same.encode_positions = 9;
  EXPECT_EQ(key, pairing_key(same));
  const auto differs = [&](auto change) {
    EstimatorOptions other = named("reference", 4);
    change(other);
    return pairing_key(other) != key;
  };
  EXPECT_TRUE(differs([](EstimatorOptions& o) { o.seed = 2; }));
  EXPECT_TRUE(differs([](EstimatorOptions& o) { o.name = "stratified"; }));
  EXPECT_TRUE(differs([](EstimatorOptions& o) { o.block_size = 8; }));
  EXPECT_TRUE(differs([](EstimatorOptions& o) { o.draws = 2; }));
  EXPECT_TRUE(differs([](EstimatorOptions& o) { o.t_min = 0.3; }));
  EXPECT_TRUE(differs([](EstimatorOptions& o) { o.t_max = 0.9; }));
  EXPECT_TRUE(differs([](EstimatorOptions& o) { o.first_token = "clean"; }));
  EXPECT_TRUE(differs([](EstimatorOptions& o) { o.schedule = "cosine"; }));
  EXPECT_TRUE(differs([](EstimatorOptions& o) {
    o.strata = "published";
    o.rows = 4;
  }));
  // Nothing random: the seed does not matter.
  EstimatorOptions order = named("order", 4);
  const std::string order_key = pairing_key(order);
  order.seed = 5;
  EXPECT_EQ(order_key, pairing_key(order));
  order.reveal_order = "spread";
  EXPECT_NE(order_key, pairing_key(order));
}

// Two models on the same masks: their difference has far less spread than either.
TEST(Estimators, PairAcrossModels) {
  const auto truth = make_exact_denoiser("exact:markov?v=8&seed=1");
  const auto other = make_exact_denoiser("exact:markov?v=8&seed=2");
  const auto texts = documents_of(truth->world(), 1, 16);
  EstimatorOptions options = named("reference", 16);
  double apart = 0;
  double paired = 0;
  const double gap = estimate(*other, texts, named("order", 16)).sequences[0].nats -
                     estimate(*truth, texts, named("order", 16)).sequences[0].nats;
  for (std::uint64_t seed = 1; seed <= 2000; ++seed) {
    options.seed = seed;
    const double a = estimate(*truth, texts, options).sequences[0].nats;
    const double b = estimate(*other, texts, options).sequences[0].nats;
    options.seed = seed + 1'000'000;
    const double c = estimate(*other, texts, options).sequences[0].nats;
    paired += (b - a - gap) * (b - a - gap);
    apart += (c - a - gap) * (c - a - gap);
  }
  EXPECT_LT(paired, 0.75 * apart);
}

TEST(EstimatorOptions, AreRefusedByName) {
  EstimatorOptions options = named("stratifed", 4);
  EXPECT_NE(refusal(options).find("stratified"), std::string::npos) << refusal(options);
  options = named("stratified", -1);
  EXPECT_EQ(refusal(options), "block_size = '-1': an integer >= 0");
  options = named("stratified", 4);
  options.draws = 0;
  EXPECT_EQ(refusal(options), "draws = '0': an integer >= 1");
  options.draws = 4;
  options.replicates = 3;
  EXPECT_EQ(refusal(options), "replicates = '3': a divisor of draws = 4, or 0");
  options = named("stratified", 4);
  options.t_min = 0.8;
  options.t_max = 0.3;
  EXPECT_EQ(refusal(options),
            "t_min, t_max = '[0.8, 0.3]': an interval inside [0, 1] that is more than 0");
  options = named("reference", 4);
  options.t_min = 0;
  EXPECT_EQ(refusal(options), "t_min = '0': above 0: `reference` weighs by 1 / t");
  options = named("order", 4);
  options.t_max = 0.5;
  EXPECT_EQ(refusal(options), "t_min, t_max = '[0, 0.5]': left out: `order` has no noise level");
  options = named("stratified", 4);
  options.first_token = "free";
  EXPECT_NE(refusal(options).find("first_token = 'free'"), std::string::npos);
  options = named("reference", 4);
  options.strata = "published";
  EXPECT_EQ(refusal(options), "rows = '0': an integer >= 1");
  options.strata = "rotated";
  options.rows = 2;
  EXPECT_EQ(refusal(options), "rows = '2': 0 unless strata = published");
  options = named("stratified", 4);
  options.schedule = "cosine";
  EXPECT_EQ(refusal(options),
            "strata, schedule = 'rotated, cosine': rotated, linear with estimator = stratified");
  options = named("stratified", 4);
  options.reveal_per_step = 2;
  EXPECT_EQ(refusal(options),
            "reveal_order, reveal_per_step = 'left_to_right, 2': left out with estimator = "
            "stratified");
  options = named("stratified", 4);
  options.chunk_positions = 0;
  EXPECT_EQ(refusal(options), "chunk_positions = '0': an integer >= 1");
  EXPECT_EQ(refusal(named("enumerate", 4), DenoiserLoss::kScoreEntropy),
            "estimator = 'enumerate': reference: a score entropy depends on the noise level");
}

TEST(Estimators, RefuseTextThatDoesNotFit) {
  const auto denoiser = make_exact_denoiser("exact:markov?v=4&seed=6");
  const auto refused = [&](const Ids& ids) -> std::string {
    try {
      estimate(*denoiser, {ids}, named("stratified", 4));
    } catch (const ConfigError& error) {
      return error.what();
    }
    return "accepted";
  };
  EXPECT_EQ(refused({0, 1, 2}), "block_size = '4': a divisor of the length 3");
  EXPECT_EQ(refused({}), "sequence = '': at least one token");
  EXPECT_EQ(refused({0, 1, 2, 4}), "token = '4': text without the mask id");
  EXPECT_EQ(refused({0, 1, 2, 5}), "token = '5': ids in [0, 4)");
}

}  // namespace
}  // namespace dlm
