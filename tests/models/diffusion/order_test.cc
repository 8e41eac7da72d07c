// The chain rule along reveal orders.
#include "models/diffusion/order.h"

#include <algorithm>
#include <numeric>

#include <fmt/ranges.h>
#include <gtest/gtest.h>

#include "harness/base/error.h"
#include "models/exact/tabular.h"
#include "tests/models/diffusion/worlds.h"

namespace dlm {
namespace {

using testing::documents_of;
using testing::estimate;
using testing::Ids;

EstimatorOptions along(const std::string& order, std::int64_t block_size) {
  EstimatorOptions options;
  options.name = "order";
  options.block_size = block_size;
  options.first_token = "scored";
  options.reveal_order = order;
  return options;
}

TEST(RevealOrder, HasTheNamedOnes) {
  EXPECT_EQ(reveal_order("left_to_right", 4), (Ids{0, 1, 2, 3}));
  EXPECT_EQ(reveal_order("right_to_left", 4), (Ids{3, 2, 1, 0}));
  EXPECT_EQ(reveal_order("spread", 8), (Ids{0, 4, 2, 6, 1, 5, 3, 7}));
  EXPECT_EQ(reveal_order("spread", 5), (Ids{0, 4, 2, 1, 3}));
  EXPECT_EQ(reveal_order("2,0,1", 3), (Ids{2, 0, 1}));
}

TEST(RevealOrder, RefusesWhatIsNoPermutation) {
  for (const char* name : {"2,0,0", "0,1", "0,1,3", "left", "", "0,1,x"}) {
    try {
      reveal_order(name, 3);
      FAIL() << name;
    } catch (const ConfigError& error) {
      EXPECT_EQ(std::string(error.what()),
                fmt::format("reveal_order = '{}': left_to_right, right_to_left, spread, or each of "
                            "0 .. 2 once, separated by commas",
                            name));
    }
  }
}

TEST(OrderEstimator, IsTheExactLikelihoodInAnyOrder) {
  const auto denoiser = make_exact_denoiser("exact:markov?v=5&seed=2");
  const auto texts = documents_of(denoiser->world(), 4, 24);
  for (const char* order : {"left_to_right", "right_to_left", "spread", "5,0,3,1,2,4,7,6"}) {
    for (const char* first_token : {"scored", "clean"}) {
      EstimatorOptions options = along(order, 8);
      options.first_token = first_token;
      const auto estimates = estimate(*denoiser, texts, options);
      for (std::size_t s = 0; s < texts.size(); ++s) {
        EXPECT_NEAR(estimates.sequences[s].nats,
                    testing::true_nats(denoiser->world(), texts[s], first_token), 1e-10)
            << order << " " << first_token;
        EXPECT_EQ(estimates.sequences[s].queries, 24 - (options.first_token == "clean" ? 1 : 0));
      }
    }
  }
}

// A denoiser that is no law of anything: the terms of `inner`, distorted by what is hidden, so that
// each order has a likelihood of its own.
class DistortedDenoiser : public Denoiser {
 public:
  explicit DistortedDenoiser(const Denoiser& inner) : inner_(inner) {}

  const ModelInfo& info() const override { return inner_.info(); }

  DenoiserLoss loss() const override { return inner_.loss(); }

  std::int64_t mask_id() const override { return inner_.mask_id(); }

  std::int64_t trained_block_size() const override { return 0; }

  std::unique_ptr<CleanContext> encode(std::span<const std::vector<std::int64_t>> sequences,
                                       std::int64_t block_size) const override {
    return inner_.encode(sequences, block_size);
  }

  std::vector<std::vector<double>> token_terms(const CleanContext& context,
                                               std::span<const MaskQuery> queries) const override {
    auto terms = inner_.token_terms(context, queries);
    for (std::size_t q = 0; q < queries.size(); ++q) {
      const auto& masked = queries[q].masked;
      for (std::size_t j = 0; j < masked.size(); ++j)
        terms[q][j] *= 1 + 0.1 * static_cast<double>(
                                     std::accumulate(masked.begin(), masked.end(), masked[j]) % 7);
    }
    return terms;
  }

  PassCounts counts() const override { return inner_.counts(); }

 private:
  const Denoiser& inner_;
};

// Specification of block diffusion, 1.2 and invariant 5: the subset sum is the mean over all n!
// orders, also of a model whose orders disagree.
TEST(OrderEstimator, AveragesOverAllOrdersToTheEnumeration) {
  const auto denoiser = make_exact_denoiser("exact:tabular?v=3&l=8&seed=7");
  const DistortedDenoiser distorted(*denoiser);
  const auto texts = documents_of(denoiser->world(), 3, 8);
  for (const std::int64_t block_size : {2, 4}) {
    Ids order(static_cast<std::size_t>(block_size));
    std::iota(order.begin(), order.end(), 0);
    std::vector<double> sums(texts.size(), 0.0);
    double orders = 0;
    double lowest = 1e9;
    double highest = 0;
    do {
      const auto estimates =
          estimate(distorted, texts, along(fmt::format("{}", fmt::join(order, ",")), block_size));
      for (std::size_t s = 0; s < texts.size(); ++s) sums[s] += estimates.sequences[s].nats;
      lowest = std::min(lowest, estimates.sequences[0].nats);
      highest = std::max(highest, estimates.sequences[0].nats);
      ++orders;
    } while (std::next_permutation(order.begin(), order.end()));
    EXPECT_GT(highest - lowest, 0.1);
    EstimatorOptions all = along("left_to_right", block_size);
    all.name = "enumerate";
    const auto enumerated = estimate(distorted, texts, all);
    for (std::size_t s = 0; s < texts.size(); ++s)
      EXPECT_NEAR(enumerated.sequences[s].nats, sums[s] / orders, 1e-10) << block_size;
  }
}

// Two tokens a step: the product of their conditionals, by hand on a table of two tokens.
TEST(OrderEstimator, RevealsSeveralTokensTogether) {
  const ExactDenoiser denoiser(
      std::make_shared<TabularWorld>(2, 2, std::vector<double>{0.5, 0.25, 0.125, 0.125}));
  EstimatorOptions options = along("left_to_right", 2);
  options.reveal_per_step = 2;
  const auto estimates = estimate(denoiser, {{1, 0}}, options);
  EXPECT_NEAR(estimates.sequences[0].nats, -std::log(0.25) - std::log(0.625), 1e-12);
  EXPECT_EQ(estimates.sequences[0].queries, 1);
  EXPECT_EQ(make_estimator(options)->passes(5), 3);
}

}  // namespace
}  // namespace dlm
