// Passes over a KV cache give what passes without one give.
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "harness/base/error.h"
#include "harness/base/random.h"
#include "models/factory.h"
#include "tests/support/data.h"
#include "tests/support/random_checkpoint.h"
#include "tests/support/tensors.h"

namespace dlm::testing {
namespace {

using Rows = std::vector<std::vector<std::int64_t>>;

class NextLogits : public ::testing::TestWithParam<std::string> {
 protected:
  NextLogits() {
    write_random_checkpoint(folder_.path(), {.family = GetParam()});
    model_ = load_network(folder_.path(), {});
  }

  // One call: row b's new ids.
  at::Tensor append(const Rows& fresh, KvCache& cache) const {
    std::vector<std::int64_t> lengths;
    for (const auto& row : fresh) lengths.push_back(static_cast<std::int64_t>(row.size()));
    return model_->next_logits(ids_tensor(fresh), lengths, cache);
  }

  // Logits after the last id, by a pass over all of them.
  at::Tensor whole(const std::vector<std::int64_t>& ids) const {
    const std::vector<std::int64_t> lengths = {static_cast<std::int64_t>(ids.size())};
    return model_->logits(ids_tensor({ids}), lengths).select(0, 0).select(0, lengths[0] - 1);
  }

  // Appends `fresh` to `rows` and to the cache, and compares every row that grew.
  void grow(Rows& rows, const Rows& fresh, KvCache& cache) const {
    const at::Tensor logits = append(fresh, cache);
    for (std::size_t b = 0; b < rows.size(); ++b) {
      rows[b].insert(rows[b].end(), fresh[b].begin(), fresh[b].end());
      const auto row = static_cast<std::int64_t>(b);
      EXPECT_EQ(cache.length(row), static_cast<std::int64_t>(rows[b].size()));
      if (!fresh[b].empty())
        expect_close(logits.select(0, row), whole(rows[b]), 1e-5, GetParam());
    }
  }

  TemporaryFolder folder_;
  std::unique_ptr<AutoregressiveModel> model_;
};

TEST_P(NextLogits, EqualRowsStepTogether) {
  const auto cache = model_->new_cache(2, 16);
  Rows rows(2);
  grow(rows, {{4, 9, 1}, {8, 8, 3}}, *cache);
  grow(rows, {{30}, {2}}, *cache);
  grow(rows, {{5, 6, 7}, {7, 6, 5}}, *cache);
  grow(rows, {{1}, {1}}, *cache);
}

TEST_P(NextLogits, RaggedPromptsStepTogether) {
  const auto cache = model_->new_cache(3, 20);
  Rows rows(3);
  grow(rows, {{4, 9, 1, 7, 7}, {8}, {3, 2, 1}}, *cache);
  grow(rows, {{30}, {2}, {0}}, *cache);
  grow(rows, {{1}, {17}, {16}}, *cache);
}

TEST_P(NextLogits, RowsWithoutNewIdsAreLeftAlone) {
  const auto cache = model_->new_cache(3, 20);
  Rows rows(3);
  grow(rows, {{4, 9}, {}, {3, 2, 1}}, *cache);
  grow(rows, {{}, {5, 5}, {4}}, *cache);
  const PassCounts before = model_->counts();
  const at::Tensor logits = append({{}, {6}, {}}, *cache);
  const PassCounts step = model_->counts() - before;
  EXPECT_EQ(step.positions, 1);
  EXPECT_EQ(step.head_rows, 1);
  EXPECT_EQ(step.cached_positions, 2);
  EXPECT_EQ(logits.select(0, 0).abs().sum().item().toDouble(), 0);
  append({{}, {}, {}}, *cache);
  EXPECT_EQ((model_->counts() - before).passes, 1);
}

TEST_P(NextLogits, RandomGrowthAgreesWithWholePasses) {
  const RandomStream stream(11, Purpose::kTest, 0);
  const auto cache = model_->new_cache(4, 64);
  Rows rows(4);
  for (std::uint64_t step = 0; step < 12; ++step) {
    Rows fresh(4);
    for (std::uint64_t b = 0; b < 4; ++b) {
      for (std::uint64_t i = 0; i < stream.below(5, step, b); ++i)
        fresh[b].push_back(static_cast<std::int64_t>(stream.below(31, step, 100 + 10 * b + i)));
    }
    grow(rows, fresh, *cache);
  }
}

TEST_P(NextLogits, CountsCachedPositionsAndCausalWork) {
  const auto cache = model_->new_cache(2, 16);
  append({{4, 9, 1}, {8, 8, 3}}, *cache);
  const PassCounts before = model_->counts();
  append({{5}, {6}}, *cache);
  const PassCounts step = model_->counts() - before;
  EXPECT_EQ(step.passes, 1);
  EXPECT_EQ(step.positions, 2);
  EXPECT_EQ(step.head_rows, 2);
  EXPECT_EQ(step.cached_positions, 6);
  const bool gpt2 = GetParam() == "gpt2";
  const double qkv = gpt2 ? 24 * 72 : 24 * 48;
  const double mlp = (gpt2 ? 2 : 3) * 24 * 40;
  EXPECT_EQ(step.flops, 2 * (2 * (2 * (qkv + 24 * 24 + mlp) + 2 * 24 * 8) + 2 * 24 * 31));
}

TEST_P(NextLogits, RefusesWhatDoesNotFit) {
  const auto error_of = [](auto&& function) -> std::string {
    try {
      function();
    } catch (const ConfigError& error) {
      return error.what();
    }
    return "accepted";
  };
  const auto cache = model_->new_cache(1, 4);
  append({{1, 2, 3}}, *cache);
  const std::string full = error_of([&] { append({{4, 5}}, *cache); });
  EXPECT_NE(full.find("up to its capacity, 4"), std::string::npos) << full;
  EXPECT_EQ(cache->length(0), 3);
  const std::string id = error_of([&] { append({{31}}, *cache); });
  EXPECT_NE(id.find("token id at row 0, position 0"), std::string::npos) << id;
  const std::string length = error_of([&] {
    const std::vector<std::int64_t> lengths = {2};
    model_->next_logits(ids_tensor({{1}}), lengths, *cache);
  });
  EXPECT_NE(length.find("length of row 0"), std::string::npos) << length;
  const std::string capacity = error_of([&] { model_->new_cache(1, 65); });
  EXPECT_NE(capacity.find("1 to 64"), std::string::npos) << capacity;
  EXPECT_NE(error_of([&] { model_->new_cache(0, 8); }), "accepted");
  const std::string empty = error_of([&] {
    const std::vector<std::int64_t> lengths = {0};
    model_->logits(ids_tensor({{1}}), lengths);
  });
  EXPECT_NE(empty.find("1 to 64"), std::string::npos) << empty;
}

TEST_P(NextLogits, ResultsMayBeChangedByTheCaller) {
  const auto cache = model_->new_cache(1, 4);
  at::Tensor logits = append({{1, 2}}, *cache);
  EXPECT_FALSE(logits.is_inference());
  EXPECT_NO_THROW(logits.div_(2));
}

INSTANTIATE_TEST_SUITE_P(Families, NextLogits, ::testing::Values("gpt2", "llama", "qwen2"));

}  // namespace
}  // namespace dlm::testing
