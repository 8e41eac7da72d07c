// The worlds behind the interface that the networks have.
#include "models/exact/exact_world.h"

#include <cmath>
#include <string>

#include <ATen/core/Tensor.h>
#include <ATen/ops/zeros.h>

#include <gtest/gtest.h>

#include "harness/base/error.h"
#include "models/exact/markov.h"
#include "models/exact/tabular.h"
#include "tests/models/exact/sequences.h"
#include "tests/support/chi_square.h"

namespace dlm {
namespace {

using testing::error_of;
using testing::Ids;
using testing::Law;

// Rows right-padded with 0.
at::Tensor padded(const std::vector<Ids>& rows) {
  std::size_t longest = 0;
  for (const Ids& row : rows) longest = std::max(longest, row.size());
  const at::Tensor ids =
      at::zeros({std::ssize(rows), static_cast<std::int64_t>(longest)}, at::kLong);
  auto* out = ids.mutable_data_ptr<std::int64_t>();
  for (const Ids& row : rows) {
    std::copy(row.begin(), row.end(), out);
    out += longest;
  }
  return ids;
}

std::vector<std::int64_t> lengths_of(const std::vector<Ids>& rows) {
  std::vector<std::int64_t> lengths;
  for (const Ids& row : rows) lengths.push_back(std::ssize(row));
  return lengths;
}

// V logits against log of a law: f32 rounding of values up to about 10.
void expect_logits(const float* logits, const Law& law) {
  for (std::size_t v = 0; v < law.size(); ++v) EXPECT_NEAR(logits[v], std::log(law[v]), 2e-6);
}

class EveryWorld : public ::testing::TestWithParam<const char*> {
 protected:
  std::unique_ptr<ExactWorld> world_ = make_exact_world(GetParam());
};

INSTANTIATE_TEST_SUITE_P(Worlds, EveryWorld,
                         ::testing::Values("exact:tabular?v=3&l=6&seed=2",
                                           "exact:markov?v=5&seed=2",
                                           "exact:grammar?brackets=2&seed=2&error=0.1"),
                         [](const auto& param) {
                           const std::string spec = param.param;
                           return spec.substr(6, spec.find('?') - 6);
                         });

TEST_P(EveryWorld, TokenNllAddsUpToTheLogProbability) {
  const Ids document = world_->draw(1, 0, 6);
  const std::vector<ScoringWindow> windows = {
      {document, 0}, {document, 4}, {document, 6}, {{document[0]}, 0}};
  const auto nll = world_->token_nll(windows);
  ASSERT_EQ(nll[0].size(), 6U);
  double sum = 0;
  for (double x : nll[0]) sum += x;
  EXPECT_NEAR(sum, -world_->log_probability(document), 1e-12);
  EXPECT_EQ(nll[1], Law(nll[0].begin() + 4, nll[0].end()));
  EXPECT_TRUE(nll[2].empty());
  EXPECT_EQ(nll[3], Law(1, nll[0][0]));
  const PassCounts counts = world_->counts();
  EXPECT_EQ(counts.passes, 1);
  EXPECT_EQ(counts.positions, 19);
  EXPECT_EQ(counts.head_rows, 9);
}

TEST_P(EveryWorld, LogitsAreTheLogOfEveryNextLaw) {
  const std::vector<Ids> rows = {world_->draw(1, 0, 5), world_->draw(1, 1, 2)};
  const at::Tensor logits = world_->logits(padded(rows), lengths_of(rows));
  const std::int64_t V = world_->info().vocab_size;
  ASSERT_EQ(logits.sizes(), at::IntArrayRef({2, 5, V}));
  const float* data = logits.const_data_ptr<float>();
  for (std::size_t b = 0; b < 2; ++b) {
    for (std::size_t i = 0; i < rows[b].size(); ++i)
      expect_logits(data + (static_cast<std::int64_t>(b * 5 + i)) * V,
                    world_->next_law(std::span(rows[b]).first(i + 1)));
  }
  for (std::int64_t i = 7 * V; i < 10 * V; ++i) EXPECT_EQ(data[i], 0) << "padding";
  EXPECT_EQ(world_->counts().positions, 7);
}

// Ragged prompts, an empty row that asks for p(x_1), and a row that is left alone.
TEST_P(EveryWorld, NextLogitsFollowTheCache) {
  const auto cache = world_->new_cache(3, 6);
  const Ids document = world_->draw(1, 0, 6);
  const std::vector<Ids> first = {{document[0], document[1]}, {}, {document[2]}};
  const at::Tensor a = world_->next_logits(padded(first), lengths_of(first), *cache);
  const std::int64_t V = world_->info().vocab_size;
  expect_logits(a.const_data_ptr<float>(), world_->next_law(first[0]));
  expect_logits(a.const_data_ptr<float>() + V, world_->next_law({}));
  const std::vector<Ids> second = {{}, {document[0]}, {document[4], document[5]}};
  const at::Tensor b = world_->next_logits(padded(second), lengths_of(second), *cache);
  expect_logits(b.const_data_ptr<float>() + V, world_->next_law(second[1]));
  expect_logits(b.const_data_ptr<float>() + 2 * V,
                world_->next_law(Ids{document[2], document[4], document[5]}));
  EXPECT_EQ(cache->batch(), 3);
  EXPECT_EQ(cache->capacity(), 6);
  EXPECT_EQ(cache->length(0), 2);
  EXPECT_EQ(cache->length(2), 3);
  const PassCounts counts = world_->counts();
  EXPECT_EQ(counts.passes, 2);
  EXPECT_EQ(counts.positions, 6);
  EXPECT_EQ(counts.head_rows, 5);
  EXPECT_EQ(counts.cached_positions, 1);
}

TEST_P(EveryWorld, CacheRefusesMoreThanItsCapacity) {
  const auto cache = world_->new_cache(1, 2);
  const std::vector<Ids> rows = {{0, 1, 0}};
  EXPECT_EQ(error_of([&] { (void)world_->next_logits(padded(rows), lengths_of(rows), *cache); }),
            "cache capacity = '2': at least 3");
}

TEST_P(EveryWorld, DocumentsDependOnTheirNameAlone) {
  const Ids document = world_->draw(7, 40, 6);
  for (std::uint64_t i = 0; i < 40; ++i) (void)world_->draw(7, i, 3);
  EXPECT_EQ(world_->draw(7, 40, 6), document);
  EXPECT_EQ(world_->draw(7, 40, 2), Ids(document.begin(), document.begin() + 2));
  std::size_t same = 0;
  for (std::uint64_t i = 41; i < 61; ++i) same += world_->draw(7, i, 6) == document ? 1U : 0U;
  EXPECT_LT(same, 20U);
}

// 40,000 documents of 3 tokens; false alarm at most 1e-6.
TEST_P(EveryWorld, DocumentsFollowTheLaw) {
  const std::int64_t V = world_->info().vocab_size;
  Law law;
  for (const Ids& ids : testing::all_sequences(3, 0, V))
    law.push_back(std::exp(world_->log_probability(ids)));
  std::vector<std::int64_t> counts(law.size());
  for (std::uint64_t i = 0; i < 40000; ++i) {
    std::int64_t cell = 0;
    for (std::int64_t id : world_->draw(3, i, 3)) cell = cell * V + id;
    ++counts[static_cast<std::size_t>(cell)];
  }
  testing::expect_follows(counts, law);
}

TEST_P(EveryWorld, RefusesBadInput) {
  const auto score = [&](const ScoringWindow& window) {
    return error_of([&] { (void)world_->token_nll(std::vector<ScoringWindow>{window}); });
  };
  EXPECT_EQ(score({{}, 0}), "window = '': at least one token");
  EXPECT_EQ(score({{0, 1}, 3}), "first_scored = '3': in [0, 2]");
  EXPECT_EQ(score({{0, -1}, 1}),
            "window = '-1': ids in [0, " + std::to_string(world_->info().vocab_size) + ")");
  EXPECT_EQ(error_of([&] { (void)world_->hidden_states(padded({{0}}), Ids{1}); }),
            "hidden_states = '" + world_->info().family + "': a network; an exact world has none");
  EXPECT_NE(error_of([&] { (void)world_->draw(1, 1, 0); }).find("length = '0'"), std::string::npos);
}

TEST(ExactWorld, TabularWholeDocumentHasNoNextToken) {
  const auto world = make_exact_world("exact:tabular?v=2&l=3");
  const std::vector<Ids> rows = {{0, 1, 1}};
  const at::Tensor logits = world->logits(padded(rows), lengths_of(rows));
  EXPECT_EQ(logits.const_data_ptr<float>()[4], 0);
  EXPECT_EQ(logits.const_data_ptr<float>()[5], 0);
  EXPECT_EQ(error_of([&] { (void)world->new_cache(1, 4); }),
            "cache capacity = '4': at least 1, at most max_length = 3 (0 = no limit)");
  EXPECT_EQ(error_of([&] { (void)world->draw(1, 0, 4); }), "length = '4': in [1, 3]");
}

TEST(ExactWorld, ImpossibleTokenIsAnErrorThatNamesItsPlace) {
  const TabularWorld world(2, 2, {0.5, 0, 0.25, 0.25});
  const std::vector<ScoringWindow> windows = {{{1, 1}, 0}, {{0, 1}, 0}};
  try {
    (void)world.token_nll(windows);
    FAIL() << "an infinite NLL was let through";
  } catch (const InternalError& error) {
    EXPECT_EQ(std::string(error.what()),
              world.spec() + ": window 1, position 1: token 1 has probability 0");
  }
}

TEST(ExactWorld, InfoDescribesTheWorld) {
  const auto tabular = make_exact_world("exact:tabular?v=3&l=4");
  EXPECT_EQ(tabular->info().family, "tabular");
  EXPECT_EQ(tabular->info().vocab_size, 3);
  EXPECT_EQ(tabular->info().max_length, 4);
  EXPECT_EQ(tabular->info().parameters, 80);
  EXPECT_EQ(tabular->info().dtype, "f64");
  EXPECT_TRUE(tabular->info().scores_first_token);
  EXPECT_FALSE(tabular->info().is_bound);
  const auto markov = make_exact_world("exact:markov?v=5");
  EXPECT_EQ(markov->info().family, "markov");
  EXPECT_EQ(markov->info().max_length, 0);
  EXPECT_EQ(markov->info().parameters, 20);
}

TEST(ExactWorldSpec, IsCanonicalAndRoundTrips) {
  EXPECT_EQ(make_exact_world("exact:tabular")->spec(),
            "exact:tabular?v=4&l=6&seed=1&concentration=1");
  EXPECT_EQ(make_exact_world("exact:tabular?concentration=0.50&seed=3&l=5")->spec(),
            "exact:tabular?v=4&l=5&seed=3&concentration=0.5");
  EXPECT_EQ(make_exact_world("exact:grammar?open=0.5")->spec(),
            "exact:grammar?brackets=4&open=0.5&error=0.01&seed=1&concentration=1");
  EXPECT_EQ(make_exact_world("exact:markov?")->spec(), "exact:markov?v=8&seed=1&concentration=1");
  const auto world =
      make_exact_world("exact:markov?v=3&seed=18446744073709551615&concentration=0.1");
  const auto again = make_exact_world(world->spec());
  EXPECT_EQ(again->spec(), world->spec());
  EXPECT_EQ(again->entropy(7), world->entropy(7));
}

TEST(ExactWorldSpec, ExplicitWorldsAreNamedByTheirNumbers) {
  const Law a = {0.5, 0.5};
  const Law b = {0.25, 0.75};
  EXPECT_EQ(TabularWorld(2, 1, a).spec(), TabularWorld(2, 1, a).spec());
  EXPECT_NE(TabularWorld(2, 1, a).spec(), TabularWorld(2, 1, b).spec());
  const Law chain = {0.5, 0.5, 0.25, 0.75};
  EXPECT_NE(MarkovWorld(chain, a).spec(), MarkovWorld(chain, b).spec());
  EXPECT_NE(MarkovWorld(chain, a).spec(), MarkovWorld(chain, std::nullopt).spec());
}

TEST(ExactWorldSpec, RefusesWhatItDoesNotKnow) {
  const auto error = [](std::string_view spec) {
    return error_of([&] { (void)make_exact_world(spec); });
  };
  EXPECT_EQ(error("exact:tabuler"), "exact world = 'tabuler': unknown; did you mean 'tabular'?");
  EXPECT_EQ(error("exact:markov?sead=1"), "exact:markov = 'sead': unknown; did you mean 'seed'?");
  EXPECT_EQ(error("exact:tabular?concentraton=1"),
            "exact:tabular = 'concentraton': unknown; did you mean 'concentration'?");
  EXPECT_EQ(error("exact:tabular?v=4&v=5"), "exact:tabular = 'v=5': 'v' once");
  EXPECT_EQ(error("exact:tabular?v"), "exact:tabular = 'v': key=value pairs, separated by '&'");
  EXPECT_EQ(error("exact:tabular?v=four"), "v = 'four': an integer");
  EXPECT_EQ(error("exact:markov?seed=-1"), "seed = '-1': an integer >= 0");
  EXPECT_EQ(error("exact:markov?concentration=nan"), "concentration = 'nan': a number");
  EXPECT_EQ(error("gpt2"), "exact world = 'gpt2': exact:tabular?key=value&... or exact:markov?...");
  EXPECT_EQ(error("exact:tabular?v=9"), "v = '9': in [2, 8]");
}

}  // namespace
}  // namespace dlm
