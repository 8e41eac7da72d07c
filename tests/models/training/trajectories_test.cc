#include "models/training/trajectories.h"

#include <algorithm>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "harness/base/error.h"
#include "harness/base/file.h"
#include "models/exact/exact_denoiser.h"
#include "models/exact/random_law.h"
#include "models/sampling/block_sampler.h"
#include "tests/support/data.h"

namespace dlm {
namespace {

using Ids = std::vector<std::int64_t>;

class TrajectoriesTest : public ::testing::Test {
 protected:
  TrajectoriesTest() : base_(make_exact_denoiser("exact:markov?v=5&concentration=0.4")) {
    spec_.base_sha256 = std::string(64, 'b');
    spec_.length = 12;
    spec_.prompt_tokens = 1;
    spec_.block_size = 4;
    spec_.count = 7;
    spec_.seed = 3;
    options_.save_every = 2;
  }

  Trajectories make(const std::string& name) const {
    return make_trajectories(*base_, prompts_, spec_, folder_.file(name), options_);
  }

  std::string bytes(const std::string& name) const {
    return std::string(MappedFile::open(folder_.file(name))->text());
  }

  testing::TemporaryFolder folder_;
  std::unique_ptr<BlockDenoiser> base_;
  std::vector<Ids> prompts_ = {{0, 4, 4}, {1, 4, 4}, {2, 4, 4}};
  TrajectorySpec spec_;
  TrajectoryOptions options_;
};

TEST_F(TrajectoriesTest, AreTheSamplersTextsInTheirOrder) {
  const Trajectories set = make("a");
  ASSERT_EQ(set.done(), 7);
  BlockSampleOptions options;
  options.block_size = 4;
  options.max_new_tokens = 11;
  options.reveal.policy = "entropy";
  options.seed = 3;
  for (std::int64_t n = 0; n < 7; ++n) {
    const std::int32_t* row = set.rows.data() + n * set.row_length();
    const Prompt prompt{{n % 3}, static_cast<std::uint64_t>(n), 0};
    const BlockSample text = sample_blocks(*base_, {&prompt, 1}, options).front();
    EXPECT_TRUE(std::equal(text.ids.begin(), text.ids.end(), row)) << n;
    // The least uncertain of the whole block is revealed first.
    std::vector<std::int64_t> known = {n % 3, -1, -1, -1};
    const auto& world = dynamic_cast<const ExactDenoiser&>(*base_).world();
    double least = 1e9;
    std::int64_t place = 0;
    for (std::int64_t i = 1; i < 4; ++i) {
      const double entropy = entropy_of(world.conditional(known, i));
      if (entropy < least - 1e-9) {
        least = entropy;
        place = i;
      }
    }
    EXPECT_EQ(row[12], place) << n;
    // Block after block; the first one has its prompt.
    for (std::int64_t i = 0; i < 11; ++i) EXPECT_EQ(row[12 + i] / 4, (i + 1) / 4) << n;
  }
}

TEST_F(TrajectoriesTest, AKilledGenerationEndsAsOneThatWasNot) {
  make("whole");
  options_.progress = [](std::int64_t done) {
    if (done >= 4)
      throw std::runtime_error("killed");
  };
  EXPECT_THROW(make("killed"), std::runtime_error);
  EXPECT_EQ(read_trajectories(folder_.file("killed")).done(), 4);
  std::vector<std::int64_t> parts;
  options_.progress = [&](std::int64_t done) { parts.push_back(done); };
  options_.batch_size = 1;
  make("killed");
  EXPECT_EQ(parts, (std::vector<std::int64_t>{6, 7}));
  EXPECT_EQ(bytes("killed"), bytes("whole"));
}

TEST_F(TrajectoriesTest, AreReadBack) {
  const Trajectories set = make("a"), there = read_trajectories(folder_.file("a"));
  EXPECT_EQ(there.rows, set.rows);
  EXPECT_EQ(trajectories_sha256(there), trajectories_sha256(set));
  EXPECT_EQ(there.vocab_size, 5);
}

TEST_F(TrajectoriesTest, AnotherSetIsRefused) {
  make("a");
  const auto refused = [&](const std::function<void()>& change) {
    const TrajectorySpec before = spec_;
    change();
    EXPECT_THROW(make("a"), ConfigError);
    spec_ = before;
  };
  refused([&] { spec_.seed = 4; });
  refused([&] { spec_.policy = "random"; });
  refused([&] { spec_.base_sha256 = std::string(64, 'c'); });
  refused([&] { spec_.count = 8; });
  refused([&] { spec_.temperature = 0.5; });
  prompts_.front().front() = 3;
  EXPECT_THROW(make("a"), ConfigError);
}

TEST_F(TrajectoriesTest, RefusesSettingsThatDoNotFit) {
  spec_.prompt_tokens = 11;
  EXPECT_THROW(make("a"), ConfigError);
  spec_.prompt_tokens = 4;
  EXPECT_THROW(make("a"), ConfigError) << "prompts of 3";
  spec_.prompt_tokens = 1;
  spec_.policy = "nearest";
  EXPECT_THROW(make("a"), ConfigError);
  for (const char* policy : {"maskgit_plus", "threshold", "factor", "factor_reference"}) {
    spec_.policy = policy;
    EXPECT_THROW(make("a"), ConfigError) << policy;
  }
  spec_.policy = "entropy";
  prompts_.clear();
  EXPECT_THROW(make("a"), ConfigError);
}

TEST_F(TrajectoriesTest, ADamagedFileIsRefused) {
  Trajectories set = make("a");
  const std::string whole = bytes("a");
  const auto refused = [&](const std::string& text) {
    write_file_atomically(folder_.file("a"), text);
    EXPECT_THROW(read_trajectories(folder_.file("a")), DataError);
    EXPECT_THROW(make("a"), DataError);
  };
  refused(whole.substr(0, whole.size() - 9));
  refused("");
  // The last number, a position, becomes the prompt's; then one beyond the text; then a repetition.
  const auto with_last = [&](std::int32_t value) {
    std::string text = whole;
    const auto at = text.find(std::string(reinterpret_cast<const char*>(&set.rows[12]), 44));
    EXPECT_NE(at, std::string::npos);
    text.replace(at + 40, 4, reinterpret_cast<const char*>(&value), 4);
    return text;
  };
  refused(with_last(0));
  refused(with_last(12));
  refused(with_last(set.rows[12]));
  write_file_atomically(folder_.file("a"), whole);
  EXPECT_EQ(make("a").rows, set.rows);
}

TEST(TrajectoryWindows, LeaveOneHiddenInTheirBlock) {
  // Positions 1 .. 7 in blocks of 4, the first of which has its prompt.
  const std::vector<std::int64_t> order = {2, 1, 3, 7, 5, 4, 6};
  const auto windows = trajectory_windows(order, 0, 4, 2);
  std::vector<std::vector<std::int64_t>> found;
  for (const TrajectoryWindow& one : windows) found.push_back({one.begin, one.start, one.passes});
  const std::vector<std::vector<std::int64_t>> expected = {
      {0, 0, 2}, {0, 1, 1}, {4, 3, 2}, {4, 4, 2}, {4, 5, 1}};
  EXPECT_EQ(found, expected);
}

TEST(TrajectoryWindows, CountBlocksFromWhereTheyBegin) {
  const std::vector<std::int64_t> order = {3, 2, 5, 4};
  const auto windows = trajectory_windows(order, 2, 2, 7);
  ASSERT_EQ(windows.size(), 2U);
  EXPECT_EQ(windows[1].begin, 4);
  EXPECT_EQ(windows[1].start, 2);
  EXPECT_EQ(windows[1].passes, 1);
}

}  // namespace
}  // namespace dlm
