// The published estimator: its levels, weights and given noise.
#include "models/diffusion/reference.h"

#include <cmath>

#include <gtest/gtest.h>

#include "harness/base/error.h"
#include "harness/base/stats.h"
#include "models/diffusion/mask_draw.h"
#include "tests/models/diffusion/fixture.h"
#include "tests/models/diffusion/worlds.h"
#include "tests/support/data.h"

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

// The log-probabilities that a published network gave for one noisy batch, as a denoiser.
class RecordedDenoiser : public Denoiser {
 public:
  RecordedDenoiser(const testing::FixtureTensor& log_probs, std::int64_t block_size)
      : log_probs_(log_probs), block_size_(block_size) {
    info_.vocab_size = log_probs.shape[2];
  }

  const ModelInfo& info() const override { return info_; }

  DenoiserLoss loss() const override { return DenoiserLoss::kMaskedCrossEntropy; }

  std::int64_t mask_id() const override { return info_.vocab_size - 1; }

  std::int64_t trained_block_size() const override { return block_size_; }

  std::unique_ptr<CleanContext> encode(std::span<const std::vector<std::int64_t>> sequences,
                                       std::int64_t block_size) const override {
    return std::make_unique<Text>(sequences, block_size);
  }

  std::vector<std::vector<double>> token_terms(const CleanContext& context,
                                               std::span<const MaskQuery> queries) const override {
    const auto& text = dynamic_cast<const Text&>(context).ids;
    std::vector<std::vector<double>> terms;
    for (const MaskQuery& query : queries) {
      terms.emplace_back();
      for (const std::int64_t position : query.masked) {
        const std::int64_t place = query.block * block_size_ + position;
        const std::int64_t row = query.sequence * log_probs_.shape[1] + place;
        const std::int64_t token =
            text[static_cast<std::size_t>(query.sequence)][static_cast<std::size_t>(place)];
        terms.back().push_back(-log_probs_.at(row * info_.vocab_size + token));
      }
    }
    return terms;
  }

  PassCounts counts() const override { return {}; }

 private:
  struct Text : CleanContext {
    Text(std::span<const std::vector<std::int64_t>> sequences, std::int64_t size)
        : ids(sequences.begin(), sequences.end()), block(size) {}

    std::int64_t block_size() const override { return block; }

    std::vector<Ids> ids;
    std::int64_t block;
  };

  testing::FixtureTensor log_probs_;
  std::int64_t block_size_;
  ModelInfo info_;
};

std::vector<Ids> rows_of(const testing::FixtureTensor& tensor) {
  std::vector<Ids> rows(static_cast<std::size_t>(tensor.shape[0]));
  for (std::size_t i = 0; i < tensor.values.size(); ++i)
    rows[i / static_cast<std::size_t>(tensor.shape[1])].push_back(
        static_cast<std::int64_t>(tensor.values[i]));
  return rows;
}

// Weights and masks of the published loss, for its own log-probabilities.
TEST(ReferenceTermsGolden, WeighAsPublished) {
  for (const std::int64_t block_size : {1, 4, 8, 16, 64}) {
    const std::string folder = fmt::format("fixtures/bd3lm_bs{}", block_size);
    DLM_REQUIRE_DATA(folder);
    const testing::Fixture fixture(folder + "/expected.safetensors");
    const RecordedDenoiser denoiser(fixture.get("log_probs"), block_size);
    const auto text = rows_of(fixture.get("x0"));
    const auto noisy = rows_of(fixture.get("xt"));
    const auto t = fixture.get("t");
    const std::int64_t length = std::ssize(text[0]);
    std::vector<GivenNoise> noise(text.size());
    for (std::size_t s = 0; s < text.size(); ++s) {
      const std::int64_t row = static_cast<std::int64_t>(s) * t.shape[1];
      for (std::int64_t b = 0; b < length / block_size; ++b)
        noise[s].t.push_back(t.at(row + (t.shape[1] == length ? b * block_size : b)));
      for (const std::int64_t id : noisy[s])
        noise[s].masked.push_back(id == denoiser.mask_id() ? 1 : 0);
    }
    EstimatorOptions options = reference(block_size);
    for (const char* name : {"nelbo_terms", "nelbo_terms_clip06"}) {
      const auto expected = fixture.get(name);
      const auto terms = reference_terms(denoiser, text, noise, options);
      double largest = 0;
      for (std::int64_t i = 0; i < std::ssize(expected.values); ++i) {
        const double term =
            terms[static_cast<std::size_t>(i / length)][static_cast<std::size_t>(i % length)];
        EXPECT_NEAR(term, expected.at(i), 1e-6 * (1 + expected.at(i))) << name << " " << i;
        largest = std::max(largest, term);
      }
      EXPECT_GT(largest, 1);
      options.t_min = 0.6;
    }
  }
}

}  // namespace
}  // namespace dlm
