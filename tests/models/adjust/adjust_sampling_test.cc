// ADJUST in the sampling loop on diffusion transformers of every form: what it must not change,
// what it costs, and that its base re-run in its place is the joint sampler.
#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include <ATen/Parallel.h>

#include <gtest/gtest.h>

#include "harness/base/error.h"
#include "harness/base/random.h"
#include "models/factory.h"
#include "models/sampling/block_sampler.h"
#include "tests/models/adjust/random_adjust.h"
#include "tests/models/dit/random_dit.h"
#include "tests/support/data.h"

namespace dlm::testing {
namespace {

using Ids = std::vector<std::int64_t>;

struct Form {
  const char* name;
  RandomDit dit;
  std::int64_t block_size;
};

const std::vector<Form>& forms() {
  static const std::vector<Form> all = {
      {"masked", {.model_type = "mdlm", .length = 16, .cross_attention = false}, 16},
      {"masked_timed",
       {.length = 16, .block_size = 16, .cross_attention = false, .time_conditioning = true},
       16},
      {"block4", {.length = 16, .block_size = 4}, 4},
      {"block8", {.length = 16, .block_size = 8}, 8}};
  return all;
}

std::unique_ptr<BlockDenoiser> model_of(const Form& form) {
  const TemporaryFolder folder;
  write_random_dit(folder.path(), form.dit);
  ModelOptions options;
  options.parameterization = "subs";
  return load_denoiser(folder.path(), options);
}

// Draws named by position alone, so that the same text comes of any K.
class PositionDraws final : public TokenDraws {
 public:
  DrawnToken draw(const TokenLaw& law, const DrawName& name) override {
    const RandomStream stream(7, Purpose::kTokenDraw, name.example);
    return draw_from(law, stream.uniform(0, static_cast<std::uint64_t>(name.position)));
  }
};

// The base run anew after each reveal: what the layer imitates.
class BaseAgain final : public Refresh {
 public:
  explicit BaseAgain(const BlockDenoiser& base) : base_(base) {}

  void refresh(std::span<RefreshRow> rows) override {
    for (RefreshRow& row : rows) {
      const std::int64_t size = std::ssize(row.ids) - row.begin;
      const auto decoder = base_.new_decoder({1, size, std::ssize(row.ids)});
      const DecodeStep step{0, row.ids.first(static_cast<std::size_t>(row.begin)),
                            row.ids.subspan(static_cast<std::size_t>(row.begin)), row.wanted};
      const std::span<float> logits = decoder->step({&step, 1});
      const float* from = logits.data();
      for (std::span<float> to : row.logits) {
        std::copy_n(from, to.size(), to.begin());
        from += to.size();
      }
    }
  }

 private:
  const BlockDenoiser& base_;
};

class AdjustSampling : public ::testing::TestWithParam<Form> {
 protected:
  AdjustSampling() : base_(model_of(GetParam())) { at::set_num_threads(1); }

  std::vector<BlockSample> sample(const std::string& policy, std::int64_t tokens_per_step,
                                  Refresh* refresh) {
    const std::vector<Prompt> prompts = {{{3, 1}, 0, 0}, {{2}, 1, 0}, {{5, 5, 8}, 2, 0}};
    BlockSampleOptions options;
    options.reveal = {policy, tokens_per_step};
    options.block_size = GetParam().block_size;
    options.max_new_tokens = 16;
    options.filter.temperature = 1.3;
    options.batch_size = batch_size_;
    options.cache = cache_;
    options.hooks.refresh = refresh;
    options.hooks.draws = &draws_;
    return sample_blocks(*base_, prompts, options);
  }

  static void expect_same(const std::vector<BlockSample>& a, const std::vector<BlockSample>& b) {
    for (std::size_t i = 0; i < a.size(); ++i) EXPECT_EQ(a[i].ids, b[i].ids) << i;
  }

  static bool differs(const std::vector<BlockSample>& a, const std::vector<BlockSample>& b) {
    return !std::equal(a.begin(), a.end(), b.begin(),
                       [](const auto& x, const auto& y) { return x.ids == y.ids; });
  }

  std::unique_ptr<BlockDenoiser> base_;
  PositionDraws draws_;
  std::int64_t batch_size_ = 3;
  ContextCache cache_ = ContextCache::kOn;
};

TEST_P(AdjustSampling, ZeroedPostNormLeavesTheMarginals) {
  const auto zero = random_adjust_layer(*base_, 0);
  for (const char* policy : {"entropy", "random", "left_to_right"}) {
    for (const std::int64_t K : {2, 4})
      expect_same(sample(policy, K, zero.get()), sample(policy, K, nullptr));
  }
}

TEST_P(AdjustSampling, ALayerThatIsNotZeroChangesTheText) {
  const auto other = random_adjust_layer(*base_, 1);
  EXPECT_TRUE(differs(sample("entropy", 4, other.get()), sample("entropy", 4, nullptr)));
  EXPECT_TRUE(differs(sample("random", 4, other.get()), sample("random", 4, nullptr)));
}

TEST_P(AdjustSampling, OneTokenAStepIsTheBase) {
  const auto other = random_adjust_layer(*base_, 1);
  const auto with = sample("entropy", 1, other.get());
  const auto without = sample("entropy", 1, nullptr);
  expect_same(with, without);
  // Our own products give a row the same bits whatever rows are computed with it.
  const bool same_bits =
      hidden_model_of(*base_).network_compute().backend == LinearBackend::kPanels;
  for (std::size_t i = 0; i < with.size(); ++i)
    EXPECT_NEAR(with[i].margin, without[i].margin, same_bits ? 0 : 1e-5) << i;
  EXPECT_EQ(other->passes(), 0);
}

TEST_P(AdjustSampling, TheBaseAsLayerIsTheJointSampler) {
  if (GetParam().dit.time_conditioning)
    GTEST_SKIP() << "the noise level of a step depends on K";
  BaseAgain again(*base_);
  for (const char* policy : {"entropy", "left_to_right"}) {
    const auto joint = sample(policy, 1, nullptr);
    for (const std::int64_t K : {2, 4}) expect_same(sample(policy, K, &again), joint);
    EXPECT_TRUE(differs(sample(policy, 4, nullptr), joint)) << policy;
  }
}

TEST_P(AdjustSampling, TextsDoNotDependOnBatchOrCache) {
  const auto other = random_adjust_layer(*base_, 1);
  const auto expected = sample("entropy", 4, other.get());
  batch_size_ = 1;
  const auto alone = sample("entropy", 4, other.get());
  expect_same(alone, expected);
  for (std::size_t i = 0; i < alone.size(); ++i)
    EXPECT_EQ(alone[i].refreshes, expected[i].refreshes) << i;
  cache_ = ContextCache::kOff;
  batch_size_ = 2;
  expect_same(sample("entropy", 4, other.get()), expected);
}

// A step of K tokens: one pass and K - 1 of the layer, and the head where a law is looked at.
TEST_P(AdjustSampling, MakesNoPassAndNoHeadRowTooMany) {
  const auto layer = random_adjust_layer(*base_, 1);
  const std::int64_t size = GetParam().block_size;
  const auto cost = [&](const char* policy, std::int64_t K, Refresh* refresh) {
    const PassCounts before = base_->counts();
    const Prompt empty{{}, 0, 0};
    BlockSampleOptions options;
    options.reveal = {policy, K};
    options.block_size = size;
    options.max_new_tokens = 16;
    options.hooks.refresh = refresh;
    const BlockSample text = sample_blocks(*base_, {&empty, 1}, options).front();
    EXPECT_EQ(text.nfe, 16 / K);
    EXPECT_EQ(text.refreshes, refresh != nullptr ? 16 - 16 / K : 0);
    return base_->counts() - before;
  };
  const PassCounts chosen = cost("random", 4, layer.get());
  EXPECT_EQ(chosen.passes, 4);
  EXPECT_EQ(layer->passes(), 12);
  EXPECT_EQ(chosen.head_rows, 16);
  const PassCounts ranked = cost("entropy", 4, layer.get());
  EXPECT_EQ(ranked.passes, 4);
  EXPECT_EQ(ranked.head_rows, 16 / size * (size * (size + 1) / 2));
  EXPECT_GT(chosen.flops, cost("random", 4, nullptr).flops);
}

INSTANTIATE_TEST_SUITE_P(Forms, AdjustSampling, ::testing::ValuesIn(forms()),
                         [](const auto& form) { return std::string(form.param.name); });

TEST(AdjustDecoder, ShowsStatesThatGiveItsLogits) {
  for (const Form& form : forms()) {
    const auto model = model_of(form);
    const HiddenModel& hidden = hidden_model_of(*model);
    DecoderOptions options{2, form.block_size, 16};
    EXPECT_EQ(model->new_decoder(options)->hidden_source(), nullptr);
    options.keeps_hidden = true;
    const auto decoder = model->new_decoder(options);
    const Ids clean(static_cast<std::size_t>(16 - form.block_size), 5);
    Ids block(static_cast<std::size_t>(form.block_size), model->mask_id());
    block[1] = 7;
    const Ids all = {0, 2, 3}, none = {};
    const std::vector<DecodeStep> steps = {{0, clean, block, all, 0.5}, {1, {}, block, none, 0.5}};
    const std::span<float> logits = decoder->step(steps);
    ASSERT_EQ(std::ssize(logits), 3 * model->info().vocab_size);
    const HiddenSource& source = *decoder->hidden_source();
    EXPECT_EQ(source.hidden(0).first, std::ssize(clean)) << form.name;
    EXPECT_EQ(source.hidden(1).first, 0);
    const at::Tensor states = source.hidden(0).states;
    ASSERT_EQ(states.size(0), form.block_size);
    const at::Tensor again = hidden.head_logits_of(states).contiguous();
    for (std::size_t i = 0; i < all.size(); ++i) {
      const float* row = again.const_data_ptr<float>() + all[i] * again.size(1);
      for (std::int64_t v = 0; v < again.size(1); ++v)
        EXPECT_EQ(
            row[v],
            logits[i * static_cast<std::size_t>(again.size(1)) + static_cast<std::size_t>(v)]);
    }
  }
}

TEST(AdjustDecoder, RefusesMoreTokensThanABlockHas) {
  const auto model = model_of(forms()[2]);
  const auto layer = random_adjust_layer(*model, 1);
  const Prompt empty{{}, 0, 0};
  BlockSampleOptions options;
  options.reveal = {"random", 5};
  options.max_new_tokens = 8;
  options.hooks.refresh = layer.get();
  EXPECT_THROW((void)sample_blocks(*model, {&empty, 1}, options), ConfigError);
}

}  // namespace
}  // namespace dlm::testing
