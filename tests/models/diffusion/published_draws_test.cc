// The estimators that LLaDA and Dream publish, and the published schedules: what their means are,
// and that the labels say no more than is so.
#include "models/diffusion/published_draws.h"

#include <cmath>
#include <set>

#include <gtest/gtest.h>

#include "models/diffusion/noise_schedule.h"
#include "tests/models/diffusion/worlds.h"

namespace dlm {
namespace {

using testing::documents_of;
using testing::estimate;
using testing::Ids;
using testing::true_nats;

constexpr auto kLoss = DenoiserLoss::kMaskedCrossEntropy;
constexpr std::int64_t kReplicates = 4000;

// Standard errors between an estimate from independent replicates and what its mean should be.
// Beyond 4 with probability 6e-5; fixed seeds.
double distance(const SequenceEstimate& sampled, double mean) {
  const auto n = static_cast<double>(sampled.n_mc);
  EXPECT_EQ(sampled.n_mc, kReplicates);
  return (sampled.nats - mean) / std::sqrt(sampled.m2 / (n * (n - 1)));
}

EstimatorOptions groups(const std::string& name, std::int64_t block_size, std::int64_t draws) {
  EstimatorOptions options;
  options.name = name;
  options.block_size = block_size;
  options.first_token = "scored";
  options.replicates = kReplicates;
  options.draws = kReplicates * draws;
  return options;
}

TEST(LladaMaskCounts, TakeEveryValueOnceWhileTheFirstDoes) {
  for (std::int64_t n = 1; n <= 12; ++n) {
    for (std::int64_t draws = 1; draws <= 13; ++draws) {
      std::vector<std::set<std::int64_t>> seen(static_cast<std::size_t>(draws));
      for (std::int64_t k = 1; k <= n; ++k) {
        const auto counts = llada_mask_counts(k, n, draws);
        for (std::size_t j = 0; j < counts.size(); ++j) seen[j].insert(counts[j]);
      }
      for (const auto& of_draw : seen)
        EXPECT_EQ(std::ssize(of_draw), n) << draws << " draws of " << n;
    }
  }
  // 2.5, 3.5 and 4.5 to even: 2, 4 and 4 again.
  std::vector<std::int64_t> second;
  for (std::int64_t k = 1; k <= 3; ++k)
    second.push_back(llada_mask_counts(k, 3, 2, HalfRounding::kToEven)[1]);
  EXPECT_EQ(second, (std::vector<std::int64_t>{2, 1, 1}));
}

TEST(LladaEstimator, IsUnbiasedForOddBlocksAndGroups) {
  const auto denoiser = make_exact_denoiser("exact:tabular?v=4&l=6");
  const auto texts = documents_of(denoiser->world(), 2, 6);
  for (const auto& [block_size, draws] : {std::pair{3, 2}, std::pair{3, 4}, std::pair{6, 4}}) {
    for (const char* first_token : {"scored", "clean"}) {
      EstimatorOptions options = groups("llada", block_size, draws);
      options.first_token = first_token;
      const auto sampled = estimate(*denoiser, texts, options);
      for (std::size_t s = 0; s < texts.size(); ++s) {
        const double truth = true_nats(denoiser->world(), texts[s], first_token);
        EXPECT_LT(std::abs(distance(sampled.sequences[s], truth)), 4)
            << "L' " << block_size << ", " << draws << " draws, " << first_token;
      }
      EXPECT_EQ(likelihood_kind(options, kLoss), LikelihoodKind::kBound);
    }
  }
}

TEST(LladaEstimator, RoundsAsPublishedByOptionAndSaysSo) {
  const auto denoiser = make_exact_denoiser("exact:tabular?v=4&l=6");
  const auto texts = documents_of(denoiser->world(), 1, 6);
  EstimatorOptions options = groups("llada", 3, 2);
  const std::string key = pairing_key(options);
  options.strata = "published";
  const double truth = true_nats(denoiser->world(), texts[0], "scored");
  EXPECT_LT(distance(estimate(*denoiser, texts, options).sequences[0], truth), -10);
  EXPECT_EQ(likelihood_kind(options, kLoss), LikelihoodKind::kClipped);
  EXPECT_NE(pairing_key(options), key);
  options.replicates = options.draws;  // groups of one: nothing is rounded
  EXPECT_EQ(likelihood_kind(options, kLoss), LikelihoodKind::kBound);
}

// Of three tokens only the middle one is hidden, with the first and last known: the mean is its
// -log p, the tokens one a block.
TEST(DreamEstimator, IsDividedByTheTokensThatItScores) {
  const auto denoiser = make_exact_denoiser("exact:tabular?v=4&l=6");
  const auto texts = documents_of(denoiser->world(), 2, 6);
  const auto sampled = estimate(*denoiser, texts, groups("dream", 3, 1));
  const auto context = denoiser->encode(texts, 3);
  for (std::int64_t s = 0; s < 2; ++s) {
    const auto terms =
        denoiser->token_terms(*context, std::vector<MaskQuery>{{s, 0, {1}, 1}, {s, 1, {1}, 1}});
    const SequenceEstimate& sequence = sampled.sequences[static_cast<std::size_t>(s)];
    EXPECT_LT(std::abs(distance(sequence, terms[0][0] + terms[1][0])), 4);
    EXPECT_EQ(sequence.tokens, 2);
  }
  EXPECT_EQ(estimate(*denoiser, texts, groups("dream", 6, 1)).sequences[0].tokens, 4);
  EXPECT_EQ(estimate(*denoiser, texts, groups("dream", 2, 1)).sequences[0].tokens, 0);
  EXPECT_EQ(estimate(*denoiser, texts, groups("llada", 3, 1)).sequences[0].tokens, 6);
}

// At L' = 1 the mean is the schedule's weight of a token times the likelihood, so only what weighs
// a token by 1 is exact, and what weighs it by less is no bound either.
TEST(ReferenceEstimator, SaysWhatItsScheduleLeavesOfATokensWeight) {
  const auto denoiser = make_exact_denoiser("exact:markov?v=8&seed=1");
  const auto texts = documents_of(denoiser->world(), 1, 16);
  const double truth = -denoiser->world().log_probability(texts[0]);
  for (const std::string& name : noise_schedule_names()) {
    EstimatorOptions options = groups("reference", 1, 1);
    options.schedule = name;
    const double weight = mean_token_weight(parse_noise_schedule(name), 1e-3, 1);
    EXPECT_LT(std::abs(distance(estimate(*denoiser, texts, options).sequences[0], weight * truth)),
              4)
        << name;
    const LikelihoodKind single = likelihood_kind(options, kLoss);
    options.block_size = 4;
    const LikelihoodKind several = likelihood_kind(options, kLoss);
    if (name == "linear") {
      EXPECT_EQ(single, LikelihoodKind::kExact);
      EXPECT_EQ(several, LikelihoodKind::kBound);
      EXPECT_EQ(likelihood_kind(options, DenoiserLoss::kScoreEntropy), LikelihoodKind::kBound);
    } else {
      const auto expected = weight > 1 ? LikelihoodKind::kBound : LikelihoodKind::kClipped;
      EXPECT_EQ(single, expected) << name;
      EXPECT_EQ(several, expected) << name;
    }
  }
  EstimatorOptions options = groups("reference", 1, 1);
  options.schedule = "square_root";
  options.t_min = 1e-9;
  EXPECT_EQ(likelihood_kind(options, kLoss), LikelihoodKind::kExact);
  options.schedule = "mdlm";
  EXPECT_EQ(likelihood_kind(options, DenoiserLoss::kScoreEntropy), LikelihoodKind::kClipped);
}

// A network with MDLM's noise makes sigma of t itself: -ln(1 - (1 - 1e-3) t).
TEST(ReferenceEstimator, TellsTheNetworkTheLevelThatItKnows) {
  const auto told = [](const char* schedule) {
    EstimatorOptions options;
    options.name = "reference";
    options.schedule = schedule;
    options.t_min = options.t_max = 0.5;
    options.first_token = "scored";
    double t = 0;
    make_estimator(options)->plan({0, 0, 16, 16, true},
                                  [&](const WeightedQuery& query) { t = query.query.t; });
    return t;
  };
  EXPECT_DOUBLE_EQ(told("linear"), 0.5);
  EXPECT_DOUBLE_EQ(told("square"), 0.25);
  EXPECT_DOUBLE_EQ(told("mdlm"), 0.5);
}

}  // namespace
}  // namespace dlm
