// The published estimator: its levels, weights and given noise.
#include "models/diffusion/reference.h"

#include <cmath>

#include <gtest/gtest.h>

#include "harness/base/error.h"
#include "harness/base/stats.h"
#include "models/diffusion/mask_draw.h"
#include "tests/models/diffusion/worlds.h"

namespace dlm {
namespace {

using testing::documents_of;
using testing::estimate;
using testing::Ids;

EstimatorOptions reference(std::int64_t block_size) {
  EstimatorOptions options;
  options.name = "reference";
  options.block_size = block_size;
  options.first_token = "scored";
  return options;
}

std::vector<WeightedQuery> plan_of(const EstimatorOptions& options, const SequenceShape& shape) {
  std::vector<WeightedQuery> queries;
  make_estimator(options)->plan(shape,
                                [&](WeightedQuery query) { queries.push_back(std::move(query)); });
  return queries;
}

TEST(ReferenceEstimator, PublishedStrataFollowRowAndBlock) {
  EstimatorOptions options = reference(4);
  options.strata = "published";
  options.rows = 3;
  for (const std::uint64_t example : {0U, 1U, 2U, 7U}) {
    const auto queries = plan_of(options, {0, example, 16, 4, true});
    ASSERT_EQ(queries.size(), 4U);
    for (std::size_t b = 0; b < 4; ++b) {
      const double u = (queries[b].query.t - 1e-3) / 0.999;
      const double cell = static_cast<double>(example % 3 * 4 + b);
      EXPECT_GE(u * 12, cell - 1e-9);
      EXPECT_LT(u * 12, cell + 1 + 1e-9);
      EXPECT_DOUBLE_EQ(queries[b].weight, 1 / queries[b].query.t);
    }
  }
}

// What the pitfall is: with one row the first block's t lies in the lowest stratum, and the
// estimate of a sequence is far from its NELBO on average; the rotated strata are not.
TEST(ReferenceEstimator, PublishedStrataAreBiasedPerSequence) {
  const auto denoiser = make_exact_denoiser("exact:markov?v=8&seed=1");
  const auto texts = documents_of(denoiser->world(), 1, 8);
  const double truth = -denoiser->world().log_probability(texts[0]);
  EstimatorOptions options = reference(4);
  options.draws = 40'000;
  const auto z_of = [&] {
    const SequenceEstimate sequence = estimate(*denoiser, texts, options).sequences[0];
    const auto n = static_cast<double>(sequence.n_mc);
    return (sequence.nats - truth) / std::sqrt(sequence.m2 / (n * (n - 1)));
  };
  EXPECT_LT(std::abs(z_of()), 4);
  options.strata = "published";
  options.rows = 1;
  EXPECT_GT(std::abs(z_of()), 10);
}

TEST(ReferenceEstimator, RotatedLevelsAreUniformAndOnePerStratum) {
  const EstimatorOptions options = reference(4);
  std::vector<double> levels;
  for (std::uint64_t example = 0; example < 4000; ++example) {
    const auto queries = plan_of(options, {0, example, 16, 4, true});
    levels.push_back((queries[2].query.t - 1e-3) / 0.999);
    // Neighbouring blocks are one stratum apart, up to the two uniforms inside.
    const double step = queries[1].query.t - queries[0].query.t;
    const double wrapped = (step < 0 ? step + 0.999 : step) / 0.999;
    EXPECT_LE(std::abs(wrapped - 0.25), 0.25 + 1e-9);
  }
  // Quartiles of 4,000 uniforms; standard error 0.007, false alarm below 1e-6.
  for (const double q : {0.25, 0.5, 0.75}) EXPECT_NEAR(quantile(levels, q), q, 0.04);
}

TEST(ReferenceEstimator, WeighsByOneAboveAHalf) {
  EstimatorOptions options = reference(4);
  options.t_min = 0.51;
  for (const auto& query : plan_of(options, {0, 3, 16, 4, true})) EXPECT_EQ(query.weight, 1);
  options.t_min = 0.5;
  for (const auto& query : plan_of(options, {0, 3, 16, 4, true}))
    EXPECT_DOUBLE_EQ(query.weight, 1 / query.query.t);
}

TEST(ReferenceEstimator, KeepsTheFirstTokenClean) {
  EstimatorOptions options = reference(4);
  options.t_min = 1;
  const auto queries = plan_of(options, {0, 3, 8, 4, false});
  EXPECT_EQ(queries[0].query.masked, (Ids{1, 2, 3}));
  EXPECT_EQ(queries[1].query.masked, (Ids{0, 1, 2, 3}));
}

// The same numbers by hand from the same masks: what is asked of a network's published terms.
TEST(ReferenceTerms, WeighGivenMasks) {
  const auto denoiser = make_exact_denoiser("exact:markov?v=8&seed=1");
  const auto texts = documents_of(denoiser->world(), 1, 4);
  const std::vector<GivenNoise> noise = {{{0.25, 0.8}, {0, 1, 1, 1}}};
  const auto terms = reference_terms(*denoiser, texts, noise, reference(2));
  const auto context = denoiser->encode(texts, 2);
  const std::vector<MaskQuery> queries = {{0, 0, {1}, 1}, {0, 1, {0, 1}, 1}};
  const auto plain = denoiser->token_terms(*context, queries);
  EXPECT_EQ(terms[0][0], 0);
  EXPECT_DOUBLE_EQ(terms[0][1], plain[0][0] / 0.25);
  EXPECT_DOUBLE_EQ(terms[0][2], plain[1][0] / 0.8);
  EXPECT_DOUBLE_EQ(terms[0][3], plain[1][1] / 0.8);
  EstimatorOptions clipped = reference(2);
  clipped.t_min = 0.6;
  const auto ones = reference_terms(*denoiser, texts, noise, clipped);
  EXPECT_DOUBLE_EQ(ones[0][1], plain[0][0]);
  EXPECT_DOUBLE_EQ(ones[0][3], plain[1][1]);
}

// The estimator and the given-noise form are one computation.
TEST(ReferenceTerms, SumToTheEstimate) {
  const auto denoiser = make_exact_denoiser("exact:markov?v=8&seed=1");
  const auto texts = documents_of(denoiser->world(), 3, 16);
  const EstimatorOptions options = reference(4);
  std::vector<GivenNoise> noise(3, {std::vector<double>(4), std::vector<std::uint8_t>(16, 0)});
  for (std::uint64_t s = 0; s < 3; ++s) {
    for (const auto& query : plan_of(options, {0, s, 16, 4, true})) {
      noise[s].t[static_cast<std::size_t>(query.query.block)] = query.query.t;
      for (const std::int64_t i : query.query.masked)
        noise[s].masked[static_cast<std::size_t>(query.query.block * 4 + i)] = 1;
    }
  }
  const auto terms = reference_terms(*denoiser, texts, noise, options);
  const auto estimates = estimate(*denoiser, texts, options);
  for (std::size_t s = 0; s < 3; ++s)
    EXPECT_NEAR(std::accumulate(terms[s].begin(), terms[s].end(), 0.0), estimates.sequences[s].nats,
                1e-9);
}

TEST(ReferenceTerms, RefuseNoiseThatDoesNotFit) {
  const auto denoiser = make_exact_denoiser("exact:markov?v=8&seed=1");
  const auto texts = documents_of(denoiser->world(), 1, 4);
  const auto refusal = [&](const std::vector<GivenNoise>& noise) -> std::string {
    try {
      reference_terms(*denoiser, texts, noise, reference(2));
    } catch (const ConfigError& error) {
      return error.what();
    }
    return "accepted";
  };
  EXPECT_EQ(refusal({}), "noise = 'of 0 sequences': of 1, at least one");
  EXPECT_EQ(refusal({{{0.5, 0.5}, {1, 0}}}), "masked = '2 flags': 4, one for each token");
  EXPECT_EQ(refusal({{{0.5}, {1, 0, 1, 0}}}),
            "t = '1 noise levels': one for each block of 2 of 4 tokens");
  EXPECT_EQ(refusal({{{0.5, 0}, {1, 0, 1, 0}}}), "t = '0': in (0, 1]");
}

}  // namespace
}  // namespace dlm
