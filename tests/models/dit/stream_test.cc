// The two streams against the plain dense-mask network, and against each other.
#include <algorithm>
#include <cmath>
#include <memory>
#include <string>
#include <vector>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "harness/base/random.h"
#include "models/dit.h"
#include "models/factory.h"
#include "tests/models/dit/naive_dit.h"
#include "tests/models/dit/random_dit.h"
#include "tests/support/data.h"
#include "tests/support/tensors.h"

namespace dlm::testing {
namespace {

using Ids = std::vector<std::int64_t>;
using Texts = std::vector<Ids>;

// f32 against f64, values of order 1.
constexpr double kTolerance = 2e-5;

Ids random_text(std::uint64_t example, std::int64_t length) {
  const RandomStream stream(5, Purpose::kTest, example);
  Ids ids;
  for (std::int64_t i = 0; i < length; ++i)
    ids.push_back(static_cast<std::int64_t>(stream.below(12, 0, static_cast<std::uint64_t>(i))));
  return ids;
}

// Several draws of masks for every block of every sequence; blocks without a mask are left out.
std::vector<MaskQuery> random_queries(std::int64_t sequences, std::int64_t blocks,
                                      std::int64_t size, std::int64_t draws) {
  std::vector<MaskQuery> queries;
  for (std::int64_t d = 0; d < draws; ++d) {
    for (std::int64_t s = 0; s < sequences; ++s) {
      const RandomStream stream(6, Purpose::kTest, static_cast<std::uint64_t>(s),
                                static_cast<std::uint64_t>(d));
      for (std::int64_t b = 0; b < blocks; ++b) {
        MaskQuery query{s, b, {}, 0.1 + 0.8 * stream.uniform(1, static_cast<std::uint64_t>(b))};
        for (std::int64_t i = 0; i < size; ++i) {
          if (stream.uniform(0, static_cast<std::uint64_t>(b * size + i)) < query.t)
            query.masked.push_back(i);
        }
        if (!query.masked.empty())
          queries.push_back(query);
      }
    }
  }
  return queries;
}

double naive_term(const std::string& folder, const RandomDit& dit, const Ids& text,
                  const MaskQuery& query, std::size_t index) {
  NaiveInput input{text, text, dit.block_size, 0, dit.heads};
  if (!dit.cross_attention)
    input.x_0.clear();
  if (dit.time_conditioning)
    input.sigma = noise_level(NoiseConvention::kClipped, query.t).sigma;
  for (const std::int64_t position : query.masked)
    input.x_t[static_cast<std::size_t>(query.block * dit.block_size + position)] =
        dit.vocab_size - 1;
  const std::int64_t row = query.block * dit.block_size + query.masked[index];
  return naive_subs_term(naive_dit_logits(folder, input), row, text[static_cast<std::size_t>(row)]);
}

class Streams : public ::testing::TestWithParam<RandomDit> {};

TEST_P(Streams, TermsEqualTheDenseTwoStreamPass) {
  const RandomDit& dit = GetParam();
  TemporaryFolder folder;
  write_random_dit(folder.path(), dit);
  const std::vector<Ids> text = {random_text(1, dit.length), random_text(2, dit.length)};
  const auto queries = random_queries(2, dit.length / dit.block_size, dit.block_size, 3);
  // The dense pass is slow: some queries, spread over sequences, draws and blocks.
  const std::size_t step = queries.size() / 9 + 1;
  std::vector<std::vector<std::vector<double>>> terms;
  for (const std::string backend : {"auto", "aten"}) {
    const auto model = load_denoiser(folder.path(), {.linear_backend = backend});
    terms.push_back(model->token_terms(*model->encode(text, dit.block_size), queries));
  }
  for (std::size_t q = 0; q < queries.size(); q += step) {
    const std::size_t index = q % queries[q].masked.size();
    const Ids& sequence = text[static_cast<std::size_t>(queries[q].sequence)];
    const double expected = naive_term(folder.path(), dit, sequence, queries[q], index);
    for (const auto& backend : terms) {
      ASSERT_EQ(backend[q].size(), queries[q].masked.size());
      EXPECT_NEAR(backend[q][index], expected, kTolerance) << "query " << q;
    }
  }
}

TEST_P(Streams, QueriesTogetherEqualQueriesAlone) {
  const RandomDit& dit = GetParam();
  TemporaryFolder folder;
  write_random_dit(folder.path(), dit);
  const std::vector<Ids> text = {random_text(1, dit.length), random_text(2, dit.length)};
  auto queries = random_queries(2, dit.length / dit.block_size, dit.block_size, 2);
  // In no helpful order.
  std::reverse(queries.begin() + std::ssize(queries) / 2, queries.end());
  const auto model = load_denoiser(folder.path(), {});
  const auto context = model->encode(text, dit.block_size);
  const auto together = model->token_terms(*context, queries);
  const std::size_t step = queries.size() / 40 + 1;
  for (std::size_t q = 0; q < queries.size(); q += step) {
    const std::vector<Ids> one = {text[static_cast<std::size_t>(queries[q].sequence)]};
    MaskQuery query = queries[q];
    query.sequence = 0;
    const auto alone =
        model->token_terms(*model->encode(one, dit.block_size), std::vector<MaskQuery>{query});
    for (std::size_t i = 0; i < alone[0].size(); ++i)
      EXPECT_NEAR(together[q][i], alone[0][i], 1e-5) << "query " << q;
  }
}

TEST_P(Streams, RawLogitsEqualTheDenseTwoStreamPass) {
  const RandomDit& dit = GetParam();
  TemporaryFolder folder;
  write_random_dit(folder.path(), dit);
  const auto model = load_dit(Checkpoint::open(folder.path()), {});
  NaiveInput input{random_text(1, dit.length), random_text(2, dit.length), dit.block_size, 0.7,
                   dit.heads};
  if (!dit.time_conditioning)
    input.sigma = 0;
  for (std::size_t i = 0; i < input.x_t.size(); i += 3) input.x_t[i] = dit.vocab_size - 1;
  const at::Tensor logits = model->logits(
      {ids_tensor({input.x_t}), ids_tensor({input.x_0}), dit.block_size, {input.sigma}});
  if (!dit.cross_attention)
    input.x_0.clear();
  expect_close(logits.select(0, 0), naive_dit_logits(folder.path(), input), kTolerance);
}

RandomDit shaped(std::int64_t block_size, std::int64_t length = 48) {
  return {.length = length, .block_size = block_size};
}

RandomDit bidirectional() {
  return {.block_size = 48, .cross_attention = false};
}

RandomDit timed(RandomDit dit) {
  dit.time_conditioning = true;
  return dit;
}

RandomDit unconditioned(RandomDit dit) {
  dit.adaln = false;
  dit.prefix = "";
  return dit;
}

// 200 positions span several attention calls, the last one ragged; blocks of 100 need no bias. With
// "auto" f32 attention is by our own loops where they work, with "aten" by libtorch.
INSTANTIATE_TEST_SUITE_P(All, Streams,
                         ::testing::Values(shaped(4), shaped(1), shaped(16), shaped(48),
                                           shaped(8, 200), shaped(1, 100), shaped(100, 200),
                                           bidirectional(), timed(shaped(4)), timed(shaped(48)),
                                           timed(bidirectional()), unconditioned(shaped(4))),
                         [](const auto& instance) {
                           const RandomDit& dit = instance.param;
                           return fmt::format("block{}of{}{}{}{}", dit.block_size, dit.length,
                                              dit.time_conditioning ? "timed" : "",
                                              dit.cross_attention ? "" : "bidirectional",
                                              dit.adaln ? "" : "noadaln");
                         });

TEST(TwoStreamMask, HasTheKnownNumberOfPairs) {
  for (const std::int64_t size : {1, 4, 8, 24}) {
    const std::int64_t length = 24;
    std::int64_t pairs = 0;
    for (std::int64_t q = 0; q < 2 * length; ++q) {
      for (std::int64_t k = 0; k < 2 * length; ++k) {
        const bool allowed = two_stream_allowed(q, k, length, size);
        pairs += allowed ? 1 : 0;
        EXPECT_FALSE(allowed && q >= length && k < length) << "a clean row sees a noisy key";
      }
    }
    EXPECT_EQ(pairs, length * length + length * size);
  }
}

class TinyDit : public ::testing::Test {
 protected:
  std::unique_ptr<DitModel> load(const RandomDit& dit, const ModelOptions& options = {}) {
    write_random_dit(folder_.path(), dit);
    return load_dit(Checkpoint::open(folder_.path()), options);
  }

  TemporaryFolder folder_;
};

TEST_F(TinyDit, BlocksSeeNothingButThemselvesAndEarlierCleanBlocks) {
  const auto model = load(shaped(4));
  Ids text = random_text(1, 48);
  const std::vector<MaskQuery> query = {{0, 5, {0, 2}, 1}};
  const auto before = model->token_terms(*model->encode(Texts{text}, 4), query);
  for (std::size_t i = 24; i < 48; ++i) text[i] = (text[i] + 1) % 12;
  // Block 5 itself ends at 24: only later ones have changed.
  const auto later = model->token_terms(*model->encode(Texts{text}, 4), query);
  EXPECT_EQ(before, later);
  text[0] = (text[0] + 1) % 12;
  const auto earlier = model->token_terms(*model->encode(Texts{text}, 4), query);
  EXPECT_GT(std::abs(earlier[0][0] - before[0][0]), 1e-4);
  // Noisy blocks of other queries.
  const std::vector<MaskQuery> crowd = {{0, 4, {1}, 1}, {0, 5, {0, 2}, 1}, {0, 6, {0, 1}, 1}};
  EXPECT_NEAR(model->token_terms(*model->encode(Texts{text}, 4), crowd)[1][0], earlier[0][0], 1e-5);
}

TEST_F(TinyDit, ScoreEntropyTermIsTheDefinition) {
  RandomDit dit = timed(bidirectional());
  dit.variance_search = false;
  const auto model = load(dit);
  ASSERT_EQ(model->loss(), DenoiserLoss::kScoreEntropy);
  const Ids text = random_text(1, 48);
  const double t = 0.4;
  const auto term = model->token_terms(*model->encode(Texts{text}, 48),
                                       std::vector<MaskQuery>{{0, 0, {3, 7}, t}});
  NaiveInput input{text, {}, 48, -std::log(1 - t), 4};
  input.x_t[3] = input.x_t[7] = 12;
  const at::Tensor row = naive_dit_logits(folder_.path(), input).select(0, 7);
  const double odds = t / (1 - t);  // expm1(sigma)
  double sum = 0;
  for (std::int64_t v = 0; v < 12; ++v)
    sum += std::exp(row.select(0, v).item().toDouble()) / odds / 12;
  const double own = row.select(0, text[7]).item().toDouble() - std::log(odds * 12);
  const double entropy = sum - own / odds + (std::log(1 / odds) - 1) / odds;
  EXPECT_NEAR(term[0][1], entropy / (1 - t), 1e-4);
}

TEST_F(TinyDit, CountsWhatItComputes) {
  const auto model = load(shaped(4));
  const auto context = model->encode(Texts{random_text(1, 48)}, 4);
  const PassCounts clean = model->counts();
  EXPECT_EQ(clean.passes, 1);
  EXPECT_EQ(clean.positions, 44) << "nobody sees the last block";
  // Layers of 24: q, k, v 3456, the rest 2 (24^2 + 2 * 24 * 96) = 10368 a row; 264 block pairs of
  // 16 in 11 blocks (66), 96 each; of the last layer k and v only.
  EXPECT_DOUBLE_EQ(clean.flops, 2 * (44 * (3456.0 + 10368) + 66 * 16 * 96.0) + 44 * 2304.0);
  model->token_terms(*context, std::vector<MaskQuery>{{0, 3, {0, 1}, 1}, {0, 0, {2}, 1}});
  const PassCounts noisy = model->counts() - clean;
  EXPECT_EQ(noisy.passes, 1);
  EXPECT_EQ(noisy.positions, 8);
  EXPECT_EQ(noisy.cached_positions, 12);
  EXPECT_EQ(noisy.head_rows, 3);
  EXPECT_DOUBLE_EQ(noisy.flops, 3 * (8 * 3456.0 + (16 * 4 + 16) * 96.0) + (2 * 8 + 3) * 10368.0 +
                                    3 * 2.0 * 24 * 13);
}

TEST_F(TinyDit, FullDiffusionNeedsNoCleanPass) {
  const auto model = load(bidirectional());
  const auto context = model->encode(Texts{random_text(1, 24)}, 24);
  EXPECT_EQ(model->counts().passes, 0) << "and may be shorter than in training";
  EXPECT_EQ(context->block_size(), 24);
}

// Every mask of every block of two sequences: 360 blocks of 4 rows.
std::vector<MaskQuery> every_mask() {
  std::vector<MaskQuery> queries;
  for (std::int64_t block = 0; block < 24; ++block) {
    for (std::int64_t bits = 1; bits < 16; ++bits) {
      MaskQuery query{block % 2, block / 2, {}, 1};
      for (std::int64_t i = 0; i < 4; ++i) {
        if ((bits >> i & 1) != 0)
          query.masked.push_back(i);
      }
      queries.push_back(query);
    }
  }
  return queries;
}

TEST_F(TinyDit, ManyQueriesAreTakenInSeveralPasses) {
  const auto model = load(shaped(4));
  const auto context = model->encode(Texts{random_text(1, 48), random_text(2, 48)}, 4);
  const PassCounts clean = model->counts();
  model->token_terms(*context, every_mask());
  EXPECT_EQ((model->counts() - clean).passes, 2);
  EXPECT_EQ((model->counts() - clean).positions, 360 * 4);
}

TEST_F(TinyDit, RepeatedQueriesAreComputedOnce) {
  const auto model = load(shaped(4));
  const auto context = model->encode(Texts{random_text(1, 48), random_text(2, 48)}, 4);
  const std::vector<MaskQuery> queries = every_mask();
  const auto once = model->token_terms(*context, queries);
  std::vector<MaskQuery> thrice = queries;
  for (int again = 0; again < 2; ++again) {
    for (MaskQuery query : queries) {
      query.t = 0.25;  // which this network does not read
      thrice.push_back(query);
    }
  }
  const PassCounts before = model->counts();
  const auto terms = model->token_terms(*context, thrice);
  EXPECT_EQ((model->counts() - before).positions, 360 * 4);
  for (std::size_t q = 0; q < thrice.size(); ++q) EXPECT_EQ(terms[q], once[q % queries.size()]);
}

TEST_F(TinyDit, LevelsOfTimedNetworksAreNoRepeats) {
  const auto model = load(timed(shaped(48)));
  const auto context = model->encode(Texts{random_text(1, 48)}, 48);
  const std::vector<MaskQuery> queries = {
      {0, 0, {3}, 0.5}, {0, 0, {3}, 0.25}, {0, 0, {3}, 0.5}, {0, 0, {4}, 0.5}};
  const auto terms = model->token_terms(*context, queries);
  EXPECT_EQ(model->counts().positions, 3 * 48);
  EXPECT_EQ(terms[0], terms[2]);
  EXPECT_GT(std::abs(terms[0][0] - terms[1][0]), 1e-6);
}

TEST_F(TinyDit, TimedCleanStreamRunsOncePerLevel) {
  const auto model = load(timed(shaped(4)));
  const auto context = model->encode(Texts{random_text(1, 48)}, 4);
  EXPECT_EQ(model->counts().passes, 0);
  model->token_terms(*context,
                     std::vector<MaskQuery>{{0, 3, {0}, 0.5}, {0, 2, {0}, 0.25}, {0, 5, {1}, 0.5}});
  EXPECT_EQ(model->counts().passes, 4) << "two levels, a clean and a noisy pass each";
}

TEST(PublishedDit, HasTheKnownNumberOfTensorsAndParameters) {
  const RandomDit published = {.vocab_size = 50258,
                               .width = 768,
                               .layers = 12,
                               .heads = 12,
                               .cond_dim = 128,
                               .length = 1024,
                               .variance_search = false};
  std::int64_t parameters = 0;
  for (const auto& [name, shape] : dit_shapes(published)) {
    std::int64_t count = 1;
    for (const std::int64_t size : shape) count *= size;
    parameters += name.ends_with("inv_freq") ? 0 : count;
  }
  EXPECT_EQ(parameters, 169627218);
  RandomDit block = published;
  block.variance_search = true;
  EXPECT_EQ(dit_shapes(block).size(), 133U);
}

TEST_F(TinyDit, CountsParametersWithoutBuffers) {
  const RandomDit dit = shaped(4);
  const auto model = load(dit);
  std::int64_t parameters = 0;
  for (const auto& [name, shape] : dit_shapes(dit)) {
    std::int64_t count = 1;
    for (const std::int64_t size : shape) count *= size;
    const bool buffer = name.ends_with("inv_freq") || name.starts_with("sampling_eps");
    parameters += buffer ? 0 : count;
  }
  EXPECT_EQ(model->info().parameters, parameters);
}

}  // namespace
}  // namespace dlm::testing
