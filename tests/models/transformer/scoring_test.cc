#include <cmath>
#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "harness/base/error.h"
#include "harness/base/random.h"
#include "models/factory.h"
#include "tests/models/transformer/naive_decoder.h"
#include "tests/support/data.h"
#include "tests/support/random_checkpoint.h"
#include "tests/support/tensors.h"

namespace dlm::testing {
namespace {

using Windows = std::vector<ScoringWindow>;

class TokenNll : public ::testing::Test {
 protected:
  TokenNll() {
    write_random_checkpoint(folder_.path(), {});
    model_ = load_network(folder_.path(), {});
  }

  std::string error_of(const Windows& windows) const {
    try {
      model_->token_nll(windows);
    } catch (const ConfigError& error) {
      return error.what();
    }
    return "accepted";
  }

  TemporaryFolder folder_;
  std::unique_ptr<AutoregressiveModel> model_;
};

std::vector<std::int64_t> random_ids(std::int64_t count, std::uint64_t example) {
  const RandomStream stream(5, Purpose::kTest, example);
  std::vector<std::int64_t> ids;
  for (std::uint64_t i = 0; i < static_cast<std::uint64_t>(count); ++i)
    ids.push_back(static_cast<std::int64_t>(stream.below(31, 0, i)));
  return ids;
}

void expect_near(const std::vector<double>& actual, const std::vector<double>& expected,
                 double tolerance) {
  ASSERT_EQ(actual.size(), expected.size());
  for (std::size_t i = 0; i < actual.size(); ++i)
    EXPECT_NEAR(actual[i], expected[i], tolerance * (1 + expected[i])) << i;
}

TEST_F(TokenNll, AgreesWithLoopsInDouble) {
  const NaiveDecoder naive(folder_.path());
  const auto ids = random_ids(40, 1);
  const auto nll = model_->token_nll(Windows{{ids, 1}});
  expect_near(nll[0], naive.nll(ids), 1e-5);
}

TEST_F(TokenNll, FirstScoredLeavesTheRestUnchanged) {
  const auto ids = random_ids(40, 1);
  const auto all = model_->token_nll(Windows{{ids, 1}})[0];
  for (const std::int64_t first : {2, 17, 39, 40}) {
    const auto tail = model_->token_nll(Windows{{ids, first}})[0];
    expect_near(tail, {all.begin() + first - 1, all.end()}, 1e-6);
  }
}

TEST_F(TokenNll, BatchesAndSinglesAgree) {
  Windows windows;
  for (std::uint64_t w = 0; w < 12; ++w) {
    const auto length = static_cast<std::int64_t>(1 + 7 * w % 50);
    windows.push_back({random_ids(length, w), 1 + length / 3});
  }
  const auto together = model_->token_nll(windows);
  for (std::size_t w = 0; w < windows.size(); ++w)
    expect_near(together[w], model_->token_nll(std::span(&windows[w], 1))[0], 1e-5);
}

TEST_F(TokenNll, ManyRowsPassTheHeadInChunks) {
  const TemporaryFolder folder;
  // 24 MB hold 314 rows of this vocabulary.
  write_random_checkpoint(folder.path(),
                          {.vocab_size = 20000, .width = 8, .layers = 1, .max_length = 512});
  const auto model = load_network(folder.path(), {});
  const Windows windows = {{random_ids(500, 1), 1}, {random_ids(400, 2), 1}};
  const auto together = model->token_nll(windows);
  for (std::size_t w = 0; w < windows.size(); ++w) {
    const auto& ids = windows[w].ids;
    const std::vector<std::int64_t> lengths = {static_cast<std::int64_t>(ids.size())};
    const at::Tensor log_p =
        model->logits(ids_tensor({ids}), lengths).select(0, 0).to(at::kDouble).log_softmax(-1);
    for (std::size_t i = 1; i < ids.size(); ++i) {
      const auto row = static_cast<std::int64_t>(i) - 1;
      EXPECT_NEAR(together[w][i - 1], -log_p[row][ids[i]].item().toDouble(), 1e-4);
    }
  }
}

TEST_F(TokenNll, CountsWhatItComputes) {
  model_->token_nll(Windows{{random_ids(10, 1), 4}, {random_ids(5, 2), 1}, {{3}, 1}});
  const PassCounts counts = model_->counts();
  EXPECT_EQ(counts.passes, 1);
  EXPECT_EQ(counts.positions, 9 + 4);  // of each window all but its last id
  EXPECT_EQ(counts.head_rows, 6 + 4);
  EXPECT_EQ(counts.cached_positions, 0);
  const double block = 24 * 72 + 24 * 24 + 2 * 24 * 40;
  const double pairs = 9 * 10 / 2 + 4 * 5 / 2;
  EXPECT_EQ(counts.flops, 2 * (2 * (13 * block + 2 * 24 * pairs) + 10 * 24 * 31));
}

TEST_F(TokenNll, NothingToScoreIsNoPass) {
  const auto nll = model_->token_nll(Windows{{{3}, 1}, {{4, 5}, 2}});
  EXPECT_EQ(nll, (std::vector<std::vector<double>>{{}, {}}));
  EXPECT_TRUE(model_->token_nll({}).empty());
  EXPECT_EQ(model_->counts().passes, 0);
}

TEST_F(TokenNll, RefusesBadWindowsByNumber) {
  const auto contains = [&](const Windows& windows, const std::string& text) {
    const std::string error = error_of(windows);
    EXPECT_NE(error.find(text), std::string::npos) << error;
  };
  contains({{{1, 2}, 1}, {{1, 31}, 1}}, "window 1: token id at position 1");
  contains({{{1, 31}, 1}}, "0 to 30");
  contains({{{-1, 3}, 1}}, "token id at position 0");
  contains({{{}, 1}}, "window 0");
  contains({{random_ids(65, 1), 1}}, "at most 64");
  contains({{{1, 2}, 0}}, "first_scored");
  contains({{{1, 2}, 3}}, "1 to 2");
  EXPECT_EQ(model_->counts().passes, 0);
}

TEST_F(TokenNll, NamesWindowAndPositionOfAnInfiniteValue) {
  const TemporaryFolder folder;
  // Finite weights of 1e30 overflow f32 as soon as two are multiplied.
  write_random_checkpoint(folder.path(), {.scale = 1e30});
  const auto model = load_network(folder.path(), {});
  try {
    model->token_nll(Windows{{{1}, 1}, {{1, 2, 3, 4}, 3}});
    FAIL() << "accepted";
  } catch (const InternalError& error) {
    EXPECT_NE(std::string(error.what()).find("window 1, position 3"), std::string::npos)
        << error.what();
  }
}

}  // namespace
}  // namespace dlm::testing
