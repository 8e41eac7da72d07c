// The ADJUST layer on a tiny Dream: what it must not change, and what it must refuse.
#include <algorithm>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "harness/base/error.h"
#include "harness/base/file.h"
#include "harness/base/json.h"
#include "harness/base/random.h"
#include "models/adjust_layer.h"
#include "models/checkpoint/safetensors.h"
#include "models/dream.h"
#include "models/runtime.h"
#include "models/sampling/block_sampler.h"
#include "tests/models/canvas/random_canvas.h"
#include "tests/support/data.h"

namespace dlm::testing {
namespace {

using Ids = std::vector<std::int64_t>;

class AdjustTest : public ::testing::Test {
 protected:
  AdjustTest() {
    set_threads(1);  // networks this small gain nothing from more
    write_random_dream(folder_.path());
    const Checkpoint checkpoint = Checkpoint::open(folder_.path());
    base_ = load_dream(checkpoint, {});
    sha256_ = checkpoint.weights_sha256();
  }

  std::unique_ptr<AdjustLayer> layer(double post_norm) {
    const std::string path = folder_.file("adjust");
    std::filesystem::remove_all(path);
    write_random_adjust(path, sha256_, post_norm);
    return load_adjust_layer(path, *base_, sha256_);
  }

  BlockSample sample(std::int64_t tokens_per_step, Refresh* refresh, double temperature = 1) const {
    const Prompt prompt{{3, 1, 4, 1, 5}, 0, 0};
    BlockSampleOptions options;
    options.reveal = {"entropy", tokens_per_step};
    options.max_new_tokens = 16;
    options.filter.temperature = temperature;
    options.hooks.refresh = refresh;
    options.hooks.draws = &draws_;
    return sample_blocks(*base_, {&prompt, 1}, options).front();
  }

  // Draws named by position alone, so that the same text comes of any K.
  class PositionDraws final : public TokenDraws {
   public:
    DrawnToken draw(const TokenLaw& law, const DrawName& name) override {
      const RandomStream stream(7, Purpose::kTokenDraw, name.example);
      return draw_from(law, stream.uniform(0, static_cast<std::uint64_t>(name.position)));
    }
  };

  TemporaryFolder folder_;
  std::unique_ptr<CanvasModel> base_;
  std::string sha256_;
  mutable PositionDraws draws_;
};

// The base run anew after each reveal: what the layer imitates.
class BaseAgain final : public Refresh {
 public:
  explicit BaseAgain(const CanvasModel& base) : base_(base) {}

  void refresh(std::span<RefreshRow> rows) override {
    for (RefreshRow& row : rows) {
      MaskedText text;
      text.ids.assign(row.ids.begin(), row.ids.end());
      text.ids.insert(text.ids.end(), static_cast<std::size_t>(row.masks_behind), base_.mask_id());
      for (const std::int64_t position : row.wanted) text.wanted.push_back(row.begin + position);
      const at::Tensor logits = base_.guided_logits({&text, 1}, 1).contiguous();
      const float* from = logits.const_data_ptr<float>();
      for (std::span<float> to : row.logits) {
        std::copy_n(from, to.size(), to.begin());
        from += to.size();
      }
    }
  }

 private:
  const CanvasModel& base_;
};

TEST_F(AdjustTest, ZeroedPostNormLeavesTheMarginals) {
  const auto zero = layer(0);
  for (const std::int64_t K : {2, 4, 8}) {
    const BlockSample marginal = sample(K, nullptr);
    const BlockSample adjusted = sample(K, zero.get());
    EXPECT_EQ(adjusted.ids, marginal.ids) << K;
    EXPECT_EQ(adjusted.nfe, marginal.nfe) << K;
  }
  // K - 1 refreshes in each of 16 / K steps, none after a step's last reveal.
  EXPECT_EQ(zero->passes(), 8 * 1 + 4 * 3 + 2 * 7);
}

TEST_F(AdjustTest, ALayerThatIsNotZeroChangesTheText) {
  const auto other = layer(1);
  EXPECT_NE(sample(8, other.get()).ids, sample(8, nullptr).ids);
}

TEST_F(AdjustTest, OneTokenAStepIsTheBase) {
  const auto other = layer(1);
  EXPECT_EQ(sample(1, other.get()).ids, sample(1, nullptr).ids);
  EXPECT_EQ(other->passes(), 0);
}

TEST_F(AdjustTest, TheBaseAsLayerIsTheJointSampler) {
  BaseAgain again(*base_);
  const Ids joint = sample(1, nullptr).ids;
  for (const std::int64_t K : {2, 4, 16}) EXPECT_EQ(sample(K, &again).ids, joint) << K;
  EXPECT_NE(sample(16, nullptr).ids, joint);
}

TEST_F(AdjustTest, RowsDoNotDependOnTheirCompany) {
  const auto other = layer(1);
  const std::vector<Prompt> prompts = {{{3, 1, 4}, 0, 0}, {{2, 7}, 1, 0}, {{9, 9, 9, 9}, 2, 0}};
  BlockSampleOptions options;
  options.reveal = {"entropy", 4};
  options.max_new_tokens = 12;
  options.hooks.refresh = other.get();
  options.batch_size = 1;
  const auto alone = sample_blocks(*base_, prompts, options);
  options.batch_size = 3;
  const auto together = sample_blocks(*base_, prompts, options);
  for (std::size_t i = 0; i < prompts.size(); ++i) EXPECT_EQ(alone[i].ids, together[i].ids) << i;
}

TEST_F(AdjustTest, RefusesAnotherBase) {
  const std::string path = folder_.file("foreign");
  write_random_adjust(path, std::string(64, 'a'), 1);
  try {
    (void)load_adjust_layer(path, *base_, sha256_);
    FAIL() << "a layer of another base";
  } catch (const ConfigError& error) {
    EXPECT_NE(std::string(error.what()).find("weights aaaaaaaaaaaaaaaa"), std::string::npos)
        << error.what();
  }
}

TEST_F(AdjustTest, RefusesAMissingTensor) {
  const std::string path = folder_.file("partial");
  write_random_adjust(path, sha256_, 1, "norm_hidden.0.weight");
  try {
    (void)load_adjust_layer(path, *base_, sha256_);
    FAIL() << "a layer without norm_hidden";
  } catch (const DataError& error) {
    EXPECT_NE(std::string(error.what()).find("norm_hidden.0.weight"), std::string::npos)
        << error.what();
  }
}

}  // namespace
}  // namespace dlm::testing
