// An exact world as a denoiser: what its terms are conditioned on, what it counts, what it refuses.
#include "models/exact/exact_denoiser.h"

#include <algorithm>
#include <cmath>

#include <gtest/gtest.h>
#include <omp.h>

#include "harness/base/error.h"
#include "models/exact/tabular.h"
#include "tests/models/diffusion/worlds.h"

namespace dlm {
namespace {

using testing::documents_of;
using testing::Ids;

std::string refusal(const std::function<void()>& action) {
  try {
    action();
  } catch (const ConfigError& error) {
    return error.what();
  }
  return "accepted";
}

// p(x) = 1/2 at 00, 1/4 at 01, 1/8 at 10 and 11.
std::shared_ptr<const ExactWorld> two_tokens() {
  return std::make_shared<TabularWorld>(2, 2, std::vector<double>{0.5, 0.25, 0.125, 0.125});
}

TEST(ExactDenoiser, GivesConditionalsOfASmallTable) {
  const ExactDenoiser denoiser(two_tokens());
  const std::vector<Ids> text = {{0, 1}};
  const auto whole = denoiser.encode(text, 2);
  const std::vector<MaskQuery> queries = {{0, 0, {0, 1}, 1}, {0, 0, {0}, 0.5}, {0, 0, {1}, 0.5}};
  const auto terms = denoiser.token_terms(*whole, queries);
  EXPECT_NEAR(terms[0][0], -std::log(0.75), 1e-14);
  EXPECT_NEAR(terms[0][1], -std::log(0.375), 1e-14);
  EXPECT_NEAR(terms[1][0], -std::log(0.25 / 0.375), 1e-14);
  EXPECT_NEAR(terms[2][0], -std::log(0.25 / 0.75), 1e-14);
  // In blocks of one, the first token does not know the second.
  const auto single = denoiser.encode(text, 1);
  const std::vector<MaskQuery> first = {{0, 0, {0}, 1}};
  EXPECT_NEAR(denoiser.token_terms(*single, first)[0][0], -std::log(0.75), 1e-14);
}

// Specification of block diffusion, invariant 2: a block's terms are unmoved by later blocks, by
// other noisy blocks and by the hidden tokens beside the one predicted; not by anything known.
TEST(ExactDenoiser, SeesEarlierBlocksAndItsOwnUnmaskedTokensOnly) {
  const auto denoiser = make_exact_denoiser("exact:tabular?v=3&l=8&seed=5&concentration=0.3");
  const Ids text = denoiser->world().draw(1, 0, 8);
  const MaskQuery query{0, 1, {1, 3}, 1};
  const auto terms_with = [&](std::size_t changed, std::size_t company) {
    Ids other = text;
    if (changed < text.size())
      other[changed] = (other[changed] + 1) % 3;
    const std::vector<Ids> texts = {other};
    std::vector<MaskQuery> queries = {query};
    if (company > 0)
      queries.push_back({0, 0, {0, 2}, 1});
    return denoiser->token_terms(*denoiser->encode(texts, 4), queries)[0];
  };
  const auto terms = terms_with(8, 0);
  EXPECT_EQ(terms, terms_with(8, 1));
  for (const std::size_t known : {0U, 3U, 4U, 6U}) {
    EXPECT_NE(terms[0], terms_with(known, 0)[0]) << known;
    EXPECT_NE(terms[1], terms_with(known, 0)[1]) << known;
  }
  EXPECT_EQ(terms[0], terms_with(7, 0)[0]);
  EXPECT_EQ(terms[1], terms_with(5, 0)[1]);
  const Ids two_blocks(text.begin(), text.begin() + 4);
  const std::vector<Ids> texts = {two_blocks};
  const std::vector<MaskQuery> early = {{0, 0, {1, 3}, 1}};
  const std::vector<Ids> whole = {text};
  EXPECT_EQ(denoiser->token_terms(*denoiser->encode(texts, 4), early),
            denoiser->token_terms(*denoiser->encode(whole, 4), early));
}

TEST(ExactDenoiser, IsTheSameAtAnyThreadCount) {
  const auto denoiser = make_exact_denoiser("exact:markov?v=8&seed=1");
  const auto texts = documents_of(denoiser->world(), 4, 32);
  const auto context = denoiser->encode(texts, 4);
  std::vector<MaskQuery> queries;
  for (std::int64_t i = 0; i < 256; ++i) queries.push_back({i % 4, i / 4 % 8, {i % 2, 2, 3}, 1});
  const int threads = omp_get_max_threads();
  omp_set_num_threads(1);
  const auto one = denoiser->token_terms(*context, queries);
  omp_set_num_threads(4);
  const auto four = denoiser->token_terms(*context, queries);
  omp_set_num_threads(threads);
  EXPECT_EQ(one, four);
}

TEST(ExactDenoiser, CountsAsACachedNetworkWould) {
  const auto denoiser = make_exact_denoiser("exact:markov?v=4&seed=1");
  const auto texts = documents_of(denoiser->world(), 2, 12);
  const auto context = denoiser->encode(texts, 4);
  EXPECT_EQ(denoiser->counts().passes, 1);
  EXPECT_EQ(denoiser->counts().positions, 16);
  const std::vector<MaskQuery> queries = {{0, 2, {0, 1, 2}, 1}, {1, 1, {3}, 1}};
  denoiser->token_terms(*context, queries);
  EXPECT_EQ(denoiser->counts().passes, 2);
  EXPECT_EQ(denoiser->counts().positions, 16 + 8);
  EXPECT_EQ(denoiser->counts().head_rows, 4);
  EXPECT_EQ(denoiser->counts().cached_positions, 8 + 4);
  denoiser->encode(texts, 12);
  EXPECT_EQ(denoiser->counts().passes, 2);
}

TEST(ExactDenoiser, RefusesWhatDoesNotFit) {
  const auto denoiser = make_exact_denoiser("exact:tabular?v=3&l=6&seed=1");
  const auto encode = [&](const std::vector<Ids>& texts, std::int64_t block_size) {
    return refusal([&] { denoiser->encode(texts, block_size); });
  };
  EXPECT_EQ(encode({{0, 1, 3, 0}}, 2), "token = '3': text without the mask id");
  EXPECT_EQ(encode({{0, 1, 7, 0}}, 2), "token = '7': ids in [0, 3)");
  EXPECT_EQ(encode({{0, -1}}, 2), "token = '-1': ids in [0, 3)");
  EXPECT_EQ(encode({{}}, 2), "sequence = '': at least one token");
  EXPECT_EQ(encode({{0, 1, 2}}, 2), "block_size = '2': a divisor of the length 3");
  EXPECT_EQ(encode({{0, 1}}, 0), "block_size = '0': an integer >= 1");
  EXPECT_EQ(encode({Ids(8, 0)}, 2), "length = '8': at most max_length = 6");
  EXPECT_EQ(encode({{0, 1}, {0, 1, 2, 0}}, 2), "length = '4': 2, as the first sequence");
  const std::vector<Ids> texts = {{0, 1, 2, 0}};
  const auto context = denoiser->encode(texts, 2);
  const auto ask = [&](const MaskQuery& query) {
    const std::vector<MaskQuery> queries = {query};
    return refusal([&] { denoiser->token_terms(*context, queries); });
  };
  EXPECT_EQ(ask({1, 0, {0}, 1}), "query sequence = '1': in [0, 1)");
  EXPECT_EQ(ask({0, 2, {0}, 1}), "query block = '2': in [0, 2)");
  EXPECT_EQ(ask({0, 0, {}, 1}), "query mask = '': at least one position");
  EXPECT_EQ(ask({0, 0, {2}, 1}), "query mask = '2': ascending positions in [0, 2)");
  EXPECT_EQ(ask({0, 0, {1, 1}, 1}), "query mask = '1': ascending positions in [0, 2)");
}

TEST(ExactDenoiser, NamesATokenOfProbabilityZero) {
  const ExactDenoiser denoiser(
      std::make_shared<TabularWorld>(2, 2, std::vector<double>{0.5, 0.5, 0, 0}));
  const std::vector<Ids> texts = {{1, 0}};
  const auto context = denoiser.encode(texts, 1);
  const std::vector<MaskQuery> queries = {{0, 0, {0}, 1}};
  try {
    denoiser.token_terms(*context, queries);
    FAIL() << "accepted";
  } catch (const InternalError& error) {
    EXPECT_NE(std::string(error.what()).find("sequence 0, position 0: token 1 has probability 0"),
              std::string::npos)
        << error.what();
  }
}

}  // namespace
}  // namespace dlm
